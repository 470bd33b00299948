/// What a client of the stream wants.
struct StreamQuery: Hashable {
    static let parameters: Set<String> = ["after", "limit", "wait"]
    static let limits = 1...10_000
    static let waits = 0...3600

    /// The position behind which the stream begins; `nil` for now.
    let after: Int64?
    /// After how many statements it ends; `nil` for never.
    let limit: Int?
    /// After what time it ends; `nil` for never.
    let wait: Duration?

    /// Reads the query string of `/statements/stream` and the header of a client that comes back.
    ///
    /// - Parameters:
    ///   - query: What stands behind the question mark.
    ///   - lastEventID: The header `Last-Event-ID`; counts more than `after`, which is still in the address then.
    /// - Throws: ``APIError`` when one of them has a value that it cannot have.
    init(api query: String?, lastEventID: String?) throws(APIError) {
        let parameters = try QueryParameters(query, names: Self.parameters)
        let after = try parameters.number("after", in: 0...Int64.max)
        if let lastEventID {
            self.after = try QueryParameters.number(lastEventID, "the header 'Last-Event-ID'", in: 0...Int64.max)
        } else {
            self.after = after
        }
        limit = try parameters.number("limit", in: Self.limits)
        wait = try parameters.number("wait", in: Self.waits).map { .seconds($0) }
    }
}

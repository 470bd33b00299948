import Foundation

extension StatementQuery {
    /// The names of the parameters of `/statements`.
    static let parameters: Set<String> = ["limit", "cursor", "since", "topic", "q", "duplicates"]
    /// The longest topic that is looked for, in Unicode scalars.
    static let topicLimit = 100

    /// Reads the query string of `/statements`.
    ///
    /// - Parameter query: What stands behind the question mark.
    /// - Throws: ``APIError`` when a parameter has a value that it cannot have.
    init(api query: String?) throws(APIError) {
        let parameters = try QueryParameters(query, names: Self.parameters)
        var since: Date?
        if let text = parameters["since"] {
            guard let date = Self.date(text) else {
                throw .badRequest("'since' must be a date such as 2026-01-31 or 2026-01-31T00:00:00Z (a '+' is '%2B')")
            }
            since = date
        }
        var includesDuplicates = false
        switch parameters["duplicates"] {
        case nil, "false", "0": break
        case "true", "1": includesDuplicates = true
        default: throw .badRequest("'duplicates' must be true, false, 1 or 0")
        }
        if let topic = parameters["topic"], topic.unicodeScalars.count > Self.topicLimit {
            throw .badRequest("'topic' must have at most \(Self.topicLimit) characters")
        }
        do {
            try self.init(
                limit: parameters.number("limit", in: Self.limits) ?? 50,
                cursor: parameters["cursor"],
                since: since,
                topic: parameters["topic"],
                text: parameters["q"],
                includesDuplicates: includesDuplicates
            )
        } catch let error as APIError {
            throw error
        } catch StatementQueryError.invalidCursor {
            throw .badRequest("'cursor' must be the 'next_cursor' of an earlier answer")
        } catch StatementQueryError.textTooLong {
            throw .badRequest("'q' must have at most \(Self.textLimit) characters")
        } catch {
            throw .badRequest(
                "'limit' must be a whole number from \(Self.limits.lowerBound) to \(Self.limits.upperBound)"
            )
        }
    }

    /// A date of RFC 3339, with or without a time; the other notations that statements may have are not for addresses.
    private static func date(_ text: String) -> Date? {
        let isFull =
            /[0-9]{4}-[0-9]{2}-[0-9]{2}([Tt][0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]+)?([Zz]|[+-][0-9]{2}:[0-9]{2}))?/
        guard text.utf8.count <= 64, text.wholeMatch(of: isFull) != nil else { return nil }
        return StatementDate.parse(text.uppercased())
    }
}

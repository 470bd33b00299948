/// What the service can be asked for.
enum APIRoute: String, CaseIterable {
    case statements = "/statements"
    case stream = "/statements/stream"
    case statement = "/statements/{id}"
    case stats = "/stats"
    case live = "/live"
    case health = "/health"
    case metrics = "/metrics"
    case openAPI = "/openapi.json"

    /// The methods that every route knows.
    static let methods = "GET, HEAD"
    /// The longest id that is looked for, in Unicode scalars.
    static let idLimit = 1024

    /// Finds the route of a path, and the id that the path names.
    ///
    /// The path is taken as it was sent: `/statements/stream` is the stream, and `/statements/%73tream` the statement
    /// whose id is `stream`.
    ///
    /// - Parameter path: The path, percent-encoded.
    /// - Returns: The route and the id; `nil` when there is none.
    /// - Throws: ``APIError`` when the path names an id that is none.
    static func match(_ path: String) throws(APIError) -> (route: APIRoute, id: String?)? {
        if let route = APIRoute(rawValue: path), route != .statement { return (route, nil) }
        let prefix = "\(APIRoute.statements.rawValue)/"
        guard path.hasPrefix(prefix) else { return nil }
        let rest = path.dropFirst(prefix.count)
        guard !rest.isEmpty, !rest.contains("/") else { return nil }
        guard let id = PercentEncoding.decode(rest.utf8) else {
            throw .badRequest("the id in the path must be UTF-8 and percent-encoded")
        }
        guard id.unicodeScalars.count <= idLimit else {
            throw .badRequest("the id in the path must have at most \(idLimit) characters")
        }
        return (.statement, id)
    }
}

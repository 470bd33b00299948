import Hummingbird

/// An answer that says what is wrong with a request, or with the server.
struct APIError: Error, Hashable {
    let status: HTTPResponse.Status
    let message: String
    /// The methods that the path knows, for 405.
    var allow: String?
    /// After how many seconds to try again, for 503.
    var retryAfter: Int?
    /// Whether the connection is closed behind the answer.
    var closes = false

    init(
        _ status: HTTPResponse.Status,
        _ message: String,
        allow: String? = nil,
        retryAfter: Int? = nil,
        closes: Bool = false
    ) {
        self.status = status
        self.message = message
        self.allow = allow
        self.retryAfter = retryAfter
        self.closes = closes
    }

    static func badRequest(_ message: String) -> APIError { APIError(.badRequest, message) }
}

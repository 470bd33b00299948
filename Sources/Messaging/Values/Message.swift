#if canImport(FoundationEssentials)
import struct FoundationEssentials.Date
#else
import struct Foundation.Date
#endif

/// What a producer publishes and a consumer handles.
public struct Message: Sendable, Hashable {
    /// When a message becomes available.
    public enum Due: Sendable, Hashable {
        /// After a delay, counted by the broker's clock from the moment it accepts the message.
        case after(Duration)
        /// At a point in time.
        case at(Date)
    }

    /// The id, the same on every attempt to publish this message.
    public var id: MessageID
    /// The content, any bytes; this library never looks into it.
    public var body: [UInt8]
    /// The ordering key: in a keyed queue, messages of one key are handled one after the other in publish order.
    public var key: String?
    /// Headers of the application; also carry the trace context.
    public var headers: MessageHeaders
    /// The media type of the body, such as `application/json`.
    public var contentType: String?
    /// When the message becomes available; `nil` means at once.
    public var due: Due?

    /// Creates a message.
    ///
    /// - Parameters:
    ///   - body: The content, any bytes.
    ///   - id: The id; a new one is minted by default.
    ///   - key: The ordering key.
    ///   - headers: Headers of the application; names that begin with `mq-` are refused by `publish`.
    ///   - contentType: The media type of the body.
    ///   - due: When the message becomes available; `nil` means at once.
    public init(
        body: [UInt8],
        id: MessageID = .make(),
        key: String? = nil,
        headers: MessageHeaders = [:],
        contentType: String? = nil,
        due: Due? = nil
    ) {
        self.id = id
        self.body = body
        self.key = key
        self.headers = headers
        self.contentType = contentType
        self.due = due
    }

    /// Creates a message from text.
    ///
    /// - Parameters:
    ///   - text: The content; its UTF-8 becomes the body.
    ///   - id: The id; a new one is minted by default.
    ///   - key: The ordering key.
    ///   - headers: Headers of the application.
    ///   - contentType: The media type of the body.
    ///   - due: When the message becomes available; `nil` means at once.
    public init(
        text: String,
        id: MessageID = .make(),
        key: String? = nil,
        headers: MessageHeaders = [:],
        contentType: String? = nil,
        due: Due? = nil
    ) {
        self.init(body: Array(text.utf8), id: id, key: key, headers: headers, contentType: contentType, due: due)
    }

    /// The body as text, or `nil` when it is not UTF-8.
    public var text: String? { String(validating: body, as: UTF8.self) }
}

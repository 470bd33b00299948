/// What a message must keep to on every backend; for backends.
public enum MessageRules {
    /// The longest id, in bytes.
    public static let maxIDBytes = 512
    /// The largest number of headers.
    public static let maxHeaders = 256
    /// The largest size of the key and the headers together, in bytes.
    public static let maxHeaderBytes = 256 << 10

    /// Finds what is wrong with a message.
    ///
    /// - Parameters:
    ///   - message: The message.
    ///   - maxBodyBytes: The backend's largest body.
    ///   - queue: The queue that it is published to, for the error.
    /// - Returns: Why it cannot be published: `invalidArgument` or `tooLarge`; `nil` when it can.
    public static func problem(_ message: Message, maxBodyBytes: Int, queue: String) -> QueueError? {
        let idLength = message.id.rawValue.utf8.count
        if idLength == 0 || idLength > maxIDBytes {
            return QueueError(
                .invalidArgument,
                "a message id must have 1 to \(maxIDBytes) bytes, not \(idLength)",
                queue: queue
            )
        }
        if message.body.count > maxBodyBytes {
            return QueueError(
                .tooLarge,
                "the body has \(message.body.count) bytes, the limit is \(maxBodyBytes); store it elsewhere and publish "
                    + "its address, or raise the limit",
                queue: queue
            )
        }
        if message.headers.isEmpty, message.key == nil { return nil }
        if message.headers.count > maxHeaders {
            return QueueError(.tooLarge, "a message can have \(maxHeaders) headers", queue: queue)
        }
        var bytes = message.key?.utf8.count ?? 0
        for header in message.headers {
            bytes += header.name.utf8.count + header.value.count
            if header.name.isEmpty || header.name.hasPrefix("mq-") {
                return QueueError(
                    .invalidArgument,
                    "the header name \(NameRules.quoted(header.name)) cannot be used: names are not empty, and those "
                        + "that begin with 'mq-' are reserved",
                    queue: queue
                )
            }
        }
        if bytes > maxHeaderBytes {
            return QueueError(.tooLarge, "key and headers exceed \(maxHeaderBytes) bytes together", queue: queue)
        }
        return nil
    }
}

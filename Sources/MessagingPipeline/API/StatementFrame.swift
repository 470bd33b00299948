import NIOCore

/// A statement as an event of a stream.
///
/// https://html.spec.whatwg.org/multipage/server-sent-events.html
struct StatementFrame: Sendable {
    /// Asks the client to come back after two seconds when the connection breaks.
    static let opening = "retry: 2000\n\n"
    /// A line that clients ignore, to keep the connection and find out when it is gone.
    static let heartbeat = ": still here\n\n"

    /// The statement's position.
    let position: Int64
    /// The lines of the event.
    let bytes: ByteBuffer

    /// Makes an event.
    ///
    /// - Parameter item: The statement and its position.
    /// - Throws: `EncodingError` when the statement cannot be written as JSON.
    init(_ item: StatementChanges.Item) throws {
        // JSON escapes line feeds, so it is one line.
        let json = try PipelineJSON.encode(item.statement)
        var bytes = ByteBuffer(string: "id: \(item.position)\nevent: statement\ndata: ")
        bytes.writeBytes(json)
        bytes.writeString("\n\n")
        position = item.position
        self.bytes = bytes
    }
}

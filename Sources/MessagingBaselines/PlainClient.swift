import Messaging

/// What a program does that uses a broker's client library and nothing else: the measure for a backend.
///
/// It has a queue (stream, topic, table) of its own and blocks the thread that calls it; ``PlainRunner`` gives it one.
public protocol PlainClient: AnyObject {
    /// Publishes so many messages and waits until all are confirmed.
    ///
    /// - Parameter count: How many.
    /// - Throws: `QueueError` when one is not confirmed in time.
    func publish(_ count: Int) throws

    /// Consumes and acknowledges so many messages.
    ///
    /// - Parameter count: How many; as many must have been published.
    /// - Throws: `QueueError` when they do not come in time.
    func consume(_ count: Int) throws

    /// Deletes what it has made on the broker, as far as it can, and closes its connections; closing twice is fine.
    func close()
}

/// What a plain client works with.
public struct PlainSettings: Sendable, Hashable {
    /// The name of its queue, which nobody else uses.
    public var queue: String
    /// The bytes of a body.
    public var size: Int
    /// How many messages are on their way before an answer is awaited.
    public var window: Int
    /// Whether every message carries an id of 36 characters, as this library's messages do.
    public var carriesID: Bool

    /// Creates settings.
    ///
    /// - Parameters:
    ///   - queue: The name of its queue.
    ///   - size: The bytes of a body.
    ///   - window: How many messages are on their way at a time.
    ///   - carriesID: Whether every message carries an id.
    public init(queue: String, size: Int, window: Int, carriesID: Bool = false) {
        self.queue = queue
        self.size = size
        self.window = window
        self.carriesID = carriesID
    }

    var body: [UInt8] { [UInt8](repeating: UInt8(ascii: "x"), count: size) }
    var identifier: String? { carriesID ? "01900000-0000-7000-8000-000000000000" : nil }
}

/// A client library, and how to connect with it alone.
public struct PlainLibrary: Sendable {
    /// The library with its version, such as `hiredis 0.14.1`.
    public let name: String
    /// Whether the backend has to declare the queue before; otherwise the client makes it.
    public let needsQueue: Bool
    /// Connects; called on the thread that the client then belongs to.
    public let connect: @Sendable (PlainSettings) throws -> any PlainClient

    init(name: String, needsQueue: Bool = false, connect: @escaping @Sendable (PlainSettings) throws -> any PlainClient)
    {
        self.name = name
        self.needsQueue = needsQueue
        self.connect = connect
    }
}

/// Times and limits of all plain clients.
enum PlainLimits {
    /// How long an answer may take before the client gives up.
    static let answer = Duration.seconds(30)
    static let answerSeconds = 30
}

extension QueueError {
    static func plain(_ library: String, _ step: String) -> QueueError {
        QueueError(.brokerError, "the plain \(library) client failed: \(step)")
    }
}

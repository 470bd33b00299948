#if RabbitMQ
/// What a client asks of the broker on its one channel.
enum AMQPMethod: Sendable, Equatable {
    case channelOpen
    case channelClose
    case confirmSelect
    case exchangeDeclare(String, type: String)
    case exchangeBind(String, source: String, key: String)
    case queueDeclare(String, arguments: AMQPTable)
    case queueExists(String)
    case queueBind(String, exchange: String, key: String)
    case prefetch(UInt16)
    case consume(queue: String, tag: String)
    case cancel(tag: String)
    case get(queue: String)
    case acknowledge(UInt64, multiple: Bool)
    case requeue(UInt64)

    /// What answers it; `nil` when nothing does.
    var reply: AMQPReply.Kind? {
        switch self {
        case .channelOpen: .channelOpen
        case .channelClose: .channelClose
        case .confirmSelect: .confirmSelect
        case .exchangeDeclare: .exchangeDeclare
        case .exchangeBind: .exchangeBind
        case .queueDeclare, .queueExists: .queueDeclare
        case .queueBind: .queueBind
        case .prefetch: .prefetch
        case .consume: .consume
        case .cancel: .cancel
        case .get, .acknowledge, .requeue: nil
        }
    }
}

/// An answer to a method.
struct AMQPReply: Sendable, Equatable {
    enum Kind: Sendable, Equatable {
        case channelOpen, channelClose, confirmSelect, exchangeDeclare, exchangeBind, queueDeclare, queueBind
        case prefetch, consume, cancel
    }

    var kind: Kind
    /// The ready messages of a queue that was declared or asked for.
    var messages = 0
    /// Its consumers.
    var consumers = 0
}

/// A message that came from the broker.
struct IncomingMessage: Sendable {
    var tag: UInt64
    /// Whether it answers a `get`.
    var isAnswer: Bool
    var properties: AMQPProperties
    var body: [UInt8]
}

/// What the broker says.
enum AMQPEvent: Sendable {
    case reply(AMQPReply)
    case message(IncomingMessage)
    /// The answer to a `get`: nothing is there.
    case empty
    case confirmed(UInt64, multiple: Bool, isAccepted: Bool)
    /// A message that no queue took; its confirmation follows.
    case returned(AMQPProperties, code: Int, text: String)
    /// The broker ended a consumer, because its queue is gone.
    case consumerEnded
    case blocked(String)
    case unblocked
    case channelClosed(code: Int, text: String)
    case connectionClosed(code: Int, text: String)
}
#endif

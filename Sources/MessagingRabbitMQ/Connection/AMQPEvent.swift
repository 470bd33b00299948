#if RabbitMQ
/// What a client asks of the broker on its one channel.
enum AMQPMethod: Sendable, Equatable {
    case channelOpen
    case channelClose
    case confirmSelect
    case exchangeDeclare(String, type: String, arguments: AMQPTable = [])
    case exchangeDelete(String)
    case exchangeBind(String, source: String, key: String)
    case exchangeUnbind(String, source: String, key: String)
    case queueDeclare(String, arguments: AMQPTable)
    case queueExists(String)
    case queueDelete(String)
    case queueBind(String, exchange: String, key: String)
    case queueUnbind(String, exchange: String, key: String)
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
        case .exchangeDelete: .exchangeDelete
        case .exchangeBind: .exchangeBind
        case .exchangeUnbind: .exchangeUnbind
        case .queueDeclare, .queueExists: .queueDeclare
        case .queueDelete: .queueDelete
        case .queueBind: .queueBind
        case .queueUnbind: .queueUnbind
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
        case channelOpen, channelClose, confirmSelect, exchangeDeclare, exchangeDelete, exchangeBind
        case queueDeclare, queueDelete, queueBind, prefetch, consume, cancel
        case exchangeUnbind, queueUnbind
    }

    var kind: Kind
    /// The ready messages of a queue that was declared or asked for.
    var messages = 0
    /// Its consumers.
    var consumers = 0
}

/// A message that came from the broker.
final class IncomingMessage: Sendable {
    let tag: UInt64
    /// Whether it answers a `get`.
    let isAnswer: Bool
    let properties: AMQPProperties
    let body: [UInt8]
    /// What it was published with, on a connection that reads it.
    let routingKey: String

    init(tag: UInt64, isAnswer: Bool, properties: AMQPProperties, body: [UInt8], routingKey: String = "") {
        self.tag = tag
        self.routingKey = routingKey
        self.isAnswer = isAnswer
        self.properties = properties
        self.body = body
    }
}

/// What the broker says.
enum AMQPEvent: Sendable {
    case reply(AMQPReply)
    case message(IncomingMessage)
    /// A message that came on a channel which this side is closing: it goes back, handed out once more.
    case lateMessage(IncomingMessage)
    /// The answer to a `get`: nothing is there.
    case empty
    case confirmed(UInt64, multiple: Bool, isAccepted: Bool)
    /// A message that no queue took; its confirmation follows.
    indirect case returned(AMQPProperties, code: Int, text: String)
    /// The broker ended a consumer, because its queue is gone.
    case consumerEnded
    case blocked(String)
    case unblocked
    case channelClosed(code: Int, text: String)
    case connectionClosed(code: Int, text: String)
}
#endif

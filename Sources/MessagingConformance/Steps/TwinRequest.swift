import Messaging

/// One thing that is asked of two queues alike.
enum TwinRequest: Sendable, CustomStringConvertible {
    case publish([Message])
    case publishToUnknown
    case take(Int)
    case settle(MessageID, Settlement)
    case settleAgain(MessageID, Settlement)
    case renew(MessageID)
    case renewFinished(MessageID)
    case letters(DeadLetterFilter)
    case redrive(MessageID)
    case discard(MessageID)
    case moveUnknown
    case schedules
    case cancel(MessageID)
    case cancelUnknown
    case declareAgain
    case declareOther
    case consumeUnknown

    var description: String {
        switch self {
        case .publish(let messages): "publish \(messages.map(\.id))"
        case .publishToUnknown: "publish to a queue that does not exist"
        case .take(let count): "take \(count)"
        case .settle(let id, let settlement): "settle \(id): \(settlement)"
        case .settleAgain(let id, let settlement): "settle \(id) again: \(settlement)"
        case .renew(let id): "renew \(id)"
        case .renewFinished(let id): "renew \(id), which is settled"
        case .letters(let filter): "list the dead letters \(filter.group ?? "")"
        case .redrive(let id): "redrive \(id)"
        case .discard(let id): "discard the dead letter \(id)"
        case .moveUnknown: "redrive and discard what is no dead letter"
        case .schedules: "list what is scheduled"
        case .cancel(let id): "cancel \(id)"
        case .cancelUnknown: "cancel what is not scheduled"
        case .declareAgain: "declare it again"
        case .declareOther: "declare it otherwise"
        case .consumeUnknown: "consume what does not exist"
        }
    }
}

/// Draws requests that make sense, from what the queue must have by now.
struct TwinScript {
    /// What is known of each message, by the queue that keeps the contract.
    enum Place { case ready, held, dead, scheduled, finished }

    private var generator: SeededGenerator
    private let stage: Stage
    private let capabilities: Capabilities
    private(set) var places: [MessageID: Place] = [:]
    private var published: [Message] = []
    private var order: [MessageID] = []

    init(seed: UInt64, stage: Stage, capabilities: Capabilities) {
        generator = SeededGenerator(seed: seed)
        self.stage = stage
        self.capabilities = capabilities
    }

    private func has(_ feature: Capabilities.Feature) -> Bool { capabilities[feature].isAvailable }

    func count(_ place: Place) -> Int { places.values.count { $0 == place } }

    mutating func note(_ id: MessageID, _ place: Place) {
        if places.updateValue(place, forKey: id) == nil { order.append(id) }
    }

    private mutating func any(_ place: Place) -> MessageID? {
        order.filter { places[$0] == place }.randomElement(using: &generator)
    }

    /// The next request; what is not available, or has nothing to work on, is drawn again.
    mutating func next() -> TwinRequest {
        for _ in 0..<100 {
            if let request = draw() { return request }
        }
        return .declareAgain
    }

    private mutating func draw() -> TwinRequest? {
        switch Int.random(in: 0..<30, using: &generator) {
        case 0...4: return .publish(fresh(Int.random(in: 1...4, using: &generator)))
        case 5: return repeated()
        case 6: return .publish([Message(text: "forged", headers: ["mq-attempt": "7"])])
        case 7: return .publishToUnknown
        case 8...10:
            let ready = count(.ready)
            return ready > 0 ? .take(ready) : nil
        case 11...17: return any(.held).map { .settle($0, settlement()) }
        case 18: return any(.finished).map { .settleAgain($0, settlement()) }
        case 19: return has(.renewal) ? any(.held).map { .renew($0) } : nil
        case 20: return has(.renewal) ? any(.finished).map { .renewFinished($0) } : nil
        case 21: return has(.deadLetters) ? .letters(filter()) : nil
        case 22: return has(.deadLetters) ? any(.dead).map { .redrive($0) } : nil
        case 23: return has(.deadLetters) ? any(.dead).map { .discard($0) } : nil
        case 24: return has(.deadLetters) ? .moveUnknown : nil
        case 25: return has(.scheduleList) ? .publish([scheduled()]) : nil
        case 26: return has(.scheduleList) ? .schedules : nil
        case 27: return has(.scheduleList) ? any(.scheduled).map { .cancel($0) } ?? .cancelUnknown : nil
        case 28: return Bool.random(using: &generator) ? .declareAgain : .declareOther
        default: return .consumeUnknown
        }
    }

    private mutating func fresh(_ count: Int) -> [Message] {
        let messages = (0..<count).map { _ in
            Message(text: "text \(Int.random(in: 0..<1000, using: &generator))", headers: ["n": "\(published.count)"])
        }
        published += messages
        return messages
    }

    private mutating func scheduled() -> Message { Message(text: "later", due: .after(stage.unit * 1000)) }

    /// An id that was published before, with the same body or with another one.
    private mutating func repeated() -> TwinRequest? {
        guard has(.deduplication), let message = published.randomElement(using: &generator) else { return nil }
        if has(.idConflict), Bool.random(using: &generator) {
            return .publish([Message(text: "another body", id: message.id), message])
        }
        return .publish([message])
    }

    private mutating func filter() -> DeadLetterFilter {
        switch Int.random(in: 0..<4, using: &generator) {
        case 0: DeadLetterFilter(group: "workers")
        case 1: DeadLetterFilter(group: "nobody")
        case 2: DeadLetterFilter(reason: .attemptsExhausted)
        default: .all
        }
    }

    private mutating func settlement() -> Settlement {
        let rejects = has(.deadLetters)
        switch Int.random(in: 0..<8, using: &generator) {
        case 0...1: return .acknowledge
        case 2: return .discard
        case 3: return .release
        case 4...5: return rejects ? .retry(after: .zero, error: "again") : .release
        default: return rejects ? .reject(reason: .rejected, error: "no") : .discard
        }
    }
}

import Messaging

/// Does random things to a queue with one group and one consumer, and knows what the figures must be.
///
/// What the backend cannot do it leaves out.
struct FiguresModel {
    let stage: Stage
    let consumer: any QueueConsumer
    private let hasDelay: Bool
    private let hasSchedule: Bool
    private let hasLetters: Bool
    private var generator = SeededGenerator(seed: 42)
    private var published = 0
    private var ready = 0
    private var held: [Delivery] = []
    /// What was retried later than this case lasts.
    private var retried = 0
    private var scheduled: [MessageID] = []
    private var dead = 0
    private var done = 0

    init(stage: Stage, consumer: any QueueConsumer, _ capabilities: Capabilities) {
        self.stage = stage
        self.consumer = consumer
        hasDelay = capabilities[.delay].isAvailable
        hasSchedule = capabilities[.scheduleList].isAvailable
        hasLetters = capabilities[.deadLetters].isAvailable
    }

    private var later: Duration { stage.unit * 1000 }

    mutating func step() async throws {
        switch Int.random(in: 0..<12, using: &generator) {
        case 0...2:
            let count = Int.random(in: 1...5, using: &generator)
            try await stage.publish(count)
            published += count
            ready += count
        case 3 where hasDelay:
            let message = Message(text: "later", due: .after(later))
            try await stage.publish([message])
            published += 1
            scheduled.append(message.id)
        case 4...6:
            let max = Int.random(in: 1...4, using: &generator)
            let batch = try await consumer.receive(max: max, wait: .zero)
            try expect(batch.count <= min(max, ready), "\(batch.count) deliveries came, \(ready) were ready")
            held += batch
            ready -= batch.count
        case 7...9:
            try await settleOne()
        case 10 where hasSchedule:
            guard let id = scheduled.randomElement(using: &generator) else { return }
            let cancelled = try await stage.queue.cancelScheduled([id], of: stage.name)
            try expectEqual(cancelled, [id], "what was cancelled")
            scheduled.removeAll { $0 == id }
            done += 1
        case 11 where hasLetters:
            let letters = try await stage.deadLetters()
            guard let letter = letters.randomElement(using: &generator) else { return }
            dead -= 1
            if Bool.random(using: &generator) {
                _ = try await stage.queue.redrive([letter.id], of: stage.name)
                ready += 1
            } else {
                _ = try await stage.queue.discardDeadLetters([letter.id], of: stage.name)
                done += 1
            }
        default: break
        }
    }

    private mutating func settleOne() async throws {
        guard !held.isEmpty else { return }
        let delivery = held.remove(at: Int.random(in: 0..<held.count, using: &generator))
        // The last attempt ends among the dead letters.
        let isLast = delivery.attempt >= 10
        switch Int.random(in: 0..<8, using: &generator) {
        case 3:
            try await consumer.settle(delivery, .discard)
            done += 1
        case 4:
            try await consumer.settle(delivery, .release)
            ready += 1
        case 5 where hasLetters || !isLast:
            try await consumer.settle(delivery, .retry(after: .zero, error: "now"))
            if isLast { dead += 1 } else { ready += 1 }
        case 6 where hasDelay && (hasLetters || !isLast):
            try await consumer.settle(delivery, .retry(after: later, error: "later"))
            if isLast { dead += 1 } else { retried += 1 }
        case 7 where hasLetters:
            try await consumer.settle(delivery, .reject(reason: .rejected, error: "rejected"))
            dead += 1
        default:
            try await consumer.acknowledge(delivery)
            done += 1
        }
    }

    func check() async throws {
        try await stage.expectFigures(
            ready: ready,
            inFlight: held.count,
            delayed: retried + scheduled.count,
            dead: dead,
            scheduled: scheduled.count
        )
        try expectEqual(
            ready + held.count + retried + scheduled.count + dead + done,
            published,
            "the sum of the model"
        )
    }

    /// Takes what is left and compares.
    mutating func finish() async throws {
        try await check()
        try await stage.settle(held, by: consumer)
        try await stage.settle(try await stage.take(ready, from: consumer), by: consumer)
        try await stage.expectNothing(consumer)
        if hasLetters {
            try expectEqual(try await stage.deadLetters().count, dead, "the number of dead letters")
        }
        try await stage.expectFigures(ready: 0, inFlight: 0, delayed: retried + scheduled.count, dead: dead)
    }
}

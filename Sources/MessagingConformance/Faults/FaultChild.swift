import Messaging

#if canImport(FoundationEssentials)
import FoundationEssentials
#else
import Foundation
#endif

/// A process that uses the broker and can be killed.
public protocol FaultChild: Sendable {
    /// What it prints, line by line; ends when it has ended.
    var lines: AsyncStream<String> { get }

    /// Kills it as a crash would, and returns when it is gone.
    func kill() async
}

/// What a child program does: one simple thing, until it is done or killed.
///
/// A program for a backend of your own is a few lines: read the job from the first argument, open your queue, and call
/// ``run(on:say:die:)``.
public struct FaultChildJob: Sendable, Hashable, Codable {
    /// What there is to do.
    public enum Work: String, Sendable, Hashable, Codable {
        /// Publishes messages one after the other, says so after each, and kills itself after the last.
        case publish
        /// Receives deliveries, acknowledges the first of them, and holds the others until it is killed.
        case hold
        /// Receives one delivery, and kills itself while it has it.
        case die
        /// Rejects deliveries one after the other until it is killed.
        case reject
        /// Sends dead letters to their group again, some at a time, until it is killed.
        case redrive
    }

    /// What there is to do.
    public var work: Work
    /// The queue, which is declared.
    public var queue: String
    /// The group, for what consumes.
    public var group: String
    /// The name of the child: of its consumer, and what the ids of its messages begin with.
    public var name: String
    /// How many: of messages, of deliveries, or of dead letters at a time.
    public var count: Int
    /// How many of the deliveries are acknowledged.
    public var acknowledged: Int
    /// After how many milliseconds a message is due; zero means at once.
    public var delay: Int

    /// Creates a job.
    ///
    /// - Parameters:
    ///   - work: What there is to do.
    ///   - queue: The queue.
    ///   - group: The group.
    ///   - name: The name of the child.
    ///   - count: How many: of messages, of deliveries, or of dead letters at a time.
    ///   - acknowledged: How many of the deliveries are acknowledged.
    ///   - delay: After how many milliseconds a message is due.
    public init(
        _ work: Work,
        queue: String,
        group: String = "workers",
        name: String,
        count: Int,
        acknowledged: Int = 0,
        delay: Int = 0
    ) {
        self.work = work
        self.queue = queue
        self.group = group
        self.name = name
        self.count = count
        self.acknowledged = acknowledged
        self.delay = delay
    }

    /// Reads a job.
    ///
    /// - Parameter text: What ``text`` made.
    /// - Throws: `DecodingError`.
    public init(text: String) throws { self = try JSONDecoder().decode(Self.self, from: Data(text.utf8)) }

    /// The job in one line.
    public var text: String {
        guard let data = try? JSONEncoder().encode(self) else { return "" }
        return String(decoding: data, as: UTF8.self)
    }

    /// The messages that a job of publishing publishes, in order.
    public var messages: [Message] {
        (0..<count).map { number in
            Message(
                text: "\(name)-\(number)",
                id: MessageID("\(name)-\(number)"),
                due: delay > 0 ? .after(.milliseconds(delay)) : nil
            )
        }
    }

    /// Does the job.
    ///
    /// - Parameters:
    ///   - queue: A client of the broker.
    ///   - say: Writes a line at once.
    ///   - die: Ends the process with `SIGKILL`; does not return.
    /// - Throws: What the client throws.
    public func run(
        on queue: any MessageQueue,
        say: @Sendable (String) -> Void,
        die: @Sendable () async throws -> Void
    ) async throws {
        func tell(_ what: FaultChildEvent.What, _ id: String, _ attempt: Int = 0) {
            say(FaultChildEvent(what, id, attempt: attempt).text)
        }
        switch work {
        case .publish:
            for message in messages {
                let outcome = try await queue.publish([message], to: self.queue).first
                if case .accepted = outcome { tell(.published, message.id.rawValue) }
            }
            try await die()
        case .hold:
            try await hold(queue, tell)
        case .die:
            let consumer = try await queue.consume(self.queue, group: group, consumer: name)
            while !Task.isCancelled {
                guard let delivery = try await consumer.receive(max: 1, wait: .seconds(5)).first else { continue }
                tell(.delivered, delivery.message.id.rawValue, delivery.attempt)
                try await die()
            }
        case .reject:
            let consumer = try await queue.consume(self.queue, group: group, consumer: name)
            while !Task.isCancelled {
                for delivery in try await consumer.receive(max: count, wait: .seconds(5)) {
                    let id = delivery.message.id.rawValue
                    tell(.delivered, id, delivery.attempt)
                    do throws(QueueError) {
                        try await consumer.settle(delivery, .reject(reason: .rejected, error: "by the child"))
                    } catch {
                        // On a machine that stood still a lease runs out before its turn has come.
                        guard error.code == .leaseLost else { throw error }
                        tell(.lost, id)
                        continue
                    }
                    tell(.settled, id)
                }
            }
        case .redrive:
            tell(.holding, "")
            while true {
                let page = try await queue.deadLetters(of: self.queue, matching: .all, after: nil, limit: count)
                let sent = try await queue.redrive(page.elements.map(\.id), of: self.queue)
                if sent.isEmpty || Task.isCancelled { break }
                for id in sent { tell(.redriven, id) }
            }
            tell(.done, "")
            try await die()
        }
    }

    private func hold(_ queue: any MessageQueue, _ tell: (FaultChildEvent.What, String, Int) -> Void) async throws {
        let consumer = try await queue.consume(self.queue, group: group, consumer: name)
        var taken: [Delivery] = []
        while taken.count < count, !Task.isCancelled {
            let batch = try await consumer.receive(max: min(count - taken.count, 1000), wait: .seconds(5))
            for delivery in batch { tell(.delivered, delivery.message.id.rawValue, delivery.attempt) }
            taken += batch
        }
        for delivery in taken.prefix(acknowledged) {
            try await consumer.acknowledge(delivery)
            tell(.settled, delivery.message.id.rawValue, 0)
        }
        tell(.holding, "", 0)
        // An hour is for ever here: whoever started the child ends it.
        try await Task.sleep(for: .seconds(3600))
        await consumer.close()
    }
}

/// One line of a child: what it has just done or been told.
struct FaultChildEvent: Sendable, Hashable, Codable {
    enum What: String, Sendable, Codable {
        /// A message was accepted.
        case published
        /// A delivery was received.
        case delivered
        /// A delivery was settled.
        case settled
        /// A delivery was not settled, because its lease had run out.
        case lost
        /// A dead letter was sent again.
        case redriven
        /// The child has all that it wanted, and waits.
        case holding
        /// Nothing is left to do.
        case done
    }

    let what: What
    let id: String
    let attempt: Int

    init(_ what: What, _ id: String, attempt: Int = 0) {
        self.what = what
        self.id = id
        self.attempt = attempt
    }

    /// Reads a line; `nil` for one that a kill cut short.
    init?(text: String) {
        guard let event = try? JSONDecoder().decode(Self.self, from: Data(text.utf8)) else { return nil }
        self = event
    }

    /// The event in one line.
    var text: String {
        guard let data = try? JSONEncoder().encode(self) else { return "" }
        return String(decoding: data, as: UTF8.self)
    }
}

import Foundation
import Messaging

/// Publishes, takes and settles as fast as it can, and says what it did for a test that puts the histories together.
///
/// `t ID`: about to publish; `p ID`: published; `d ID ATTEMPT ASKED TIME`: delivered, when `receive` was called and
/// when it had returned; `b ID TIME`: about to settle; `a ID`: acknowledged; `g ID`: given back; `l ID`: not settled,
/// because the lease may have been over; `e TEXT`: an error. Times are the machine's monotonic clock in nanoseconds,
/// which all processes share.
enum HammerChild {
    private static let batch = 20

    static func run(
        _ queue: any MessageQueue,
        _ name: String,
        _ group: String,
        name process: String,
        for time: Duration
    ) async throws {
        let end = ContinuousClock.now + time
        await withTaskGroup(of: Void.self) { tasks in
            for publisher in 0..<2 {
                tasks.addTask { await publish(queue, name, "\(process)-\(publisher)", until: end) }
            }
            for consumer in 0..<2 {
                tasks.addTask { await consume(queue, name, group, "\(process)-\(consumer)", until: end) }
            }
        }
        await queue.close()
        QueueChild.say("end")
    }

    private static func publish(
        _ queue: any MessageQueue,
        _ name: String,
        _ publisher: String,
        until end: ContinuousClock.Instant
    ) async {
        var number = 0
        while ContinuousClock.now < end {
            let messages = (0..<batch).map { index in
                Message(text: String(repeating: "x", count: 200), id: MessageID("\(publisher)-\(number + index)"))
            }
            number += batch
            QueueChild.say(messages.map { "t \($0.id)" }.joined(separator: "\n"))
            do {
                let outcomes = try await queue.publish(messages, to: name)
                let lines = zip(messages, outcomes).map { message, outcome in
                    if case .accepted = outcome { "p \(message.id)" } else { "e publish \(message.id): \(outcome)" }
                }
                QueueChild.say(lines.joined(separator: "\n"))
                // Leaves room for the consumers, which have twice the work.
                try await Task.sleep(for: .milliseconds(10))
            } catch {
                QueueChild.say("e publish: \(error)")
            }
        }
    }

    private static func consume(
        _ queue: any MessageQueue,
        _ name: String,
        _ group: String,
        _ consumer: String,
        until end: ContinuousClock.Instant
    ) async {
        do {
            let member = try await queue.consume(name, group: group, consumer: consumer, options: ConsumerOptions())
            var random = SystemRandomNumberGenerator()
            while ContinuousClock.now < end {
                let asked = nanoseconds()
                let deliveries = try await member.receive(max: batch, wait: .milliseconds(200))
                if deliveries.isEmpty { continue }
                let received = nanoseconds()
                var lines = deliveries.map { "d \($0.message.id) \($0.attempt) \(asked) \(received)" }
                QueueChild.say(lines.joined(separator: "\n"))
                let requests = deliveries.map { delivery in
                    switch Int.random(in: 0..<20, using: &random) {
                    case 0: SettleRequest(delivery.receipt, .retry(after: .milliseconds(50), error: "again"))
                    case 1: SettleRequest(delivery.receipt, .release)
                    default: SettleRequest(delivery.receipt, .acknowledge)
                    }
                }
                let before = nanoseconds()
                QueueChild.say(deliveries.map { "b \($0.message.id) \(before)" }.joined(separator: "\n"))
                let outcomes = try await member.settle(requests)
                // The leases began after the call to `receive` did: before this nobody can have lost one.
                let isInTime = Duration.nanoseconds(nanoseconds() - asked) < member.lease
                lines = outcomes.enumerated().map { index, outcome in
                    let id = deliveries[index].message.id
                    switch (requests[index].settlement, outcome) {
                    case (.acknowledge, .settled): return "a \(id)"
                    case (_, .settled): return "g \(id)"
                    case (_, .leaseLost) where !isInTime: return "l \(id)"
                    default: return "e settle \(id): \(outcome)"
                    }
                }
                QueueChild.say(lines.joined(separator: "\n"))
            }
            await member.close()
        } catch {
            QueueChild.say("e consume: \(error)")
        }
    }

    private static func nanoseconds() -> UInt64 {
        var time = timespec()
        clock_gettime(CLOCK_MONOTONIC, &time)
        return UInt64(time.tv_sec) * 1_000_000_000 + UInt64(time.tv_nsec)
    }
}

import Messaging
import Synchronization
import Testing

@testable import MessagingMigration

@Suite("The new side cannot be reached for a while", .timeLimit(.minutes(5)))
struct OutageTests {
    private final class Outage: Sendable {
        private let left: Mutex<Int>

        init(calls: Int) { left = Mutex(calls) }

        /// Whether it goes on; only what is ready meets it.
        func isOn(_ messages: [StoredMessage]) -> Bool {
            guard messages.contains(where: { $0.state == .ready }) else { return false }
            return left.withLock { left in
                left -= 1
                return left >= 0
            }
        }
    }

    @Test("what is ready and could not go over has no attempt more, however often it was tried")
    func attempts() async throws {
        // More often than the group allows attempts.
        let outage = Outage(calls: 25)
        let world = try World.memory { (messages, queue, transfer) async throws(QueueError) in
            if outage.isOn(messages) { throw QueueError(.unavailable, "the broker is gone", queue: queue) }
            return try await transfer.restore(messages, to: queue)
        }
        let before = try await world.fill(70)
        let migrator = try world.migrator(losses: Pair.memoryMemory.losses)
        #expect(try await migrator.apply(World.name).state == .quarantine)
        #expect(try await world.problems(before) == [])
        let ready = try await World.contents(world.target).filter { $0.state == .ready }
        #expect(ready.count == 140 && ready.allSatisfy { $0.attempts == 0 && $0.failures == 0 })
    }
}

import Foundation
import Messaging
import MessagingMemory
import Synchronization
import Testing

@testable import MessagingMigration

/// What is ready goes over in pages, of which several are under way at the same time.
@Suite("A bridge that is left in the middle", .timeLimit(.minutes(5)))
struct BridgeTests {
    /// A client of a broker that is full when it is asked for one of the restores.
    private struct FullQueue: QueueDecorator {
        let base: any MessageQueue
        let calls: Calls
        var transfer: (any QueueTransfer)? { base.transfer.map { FullTransfer(base: $0, calls: calls) } }
    }

    private struct FullTransfer: TransferDecorator {
        let base: any QueueTransfer
        let calls: Calls

        func restore(_ messages: [StoredMessage], to queue: String) async throws(QueueError) -> [PublishOutcome] {
            guard calls.isFull() else { return try await base.restore(messages, to: queue) }
            return messages.map { _ in .refused(QueueError(.unavailable, "no room now", queue: queue)) }
        }
    }

    private final class Calls: Sendable {
        private let count = Mutex(0)
        private let full: Int

        init(full: Int) { self.full = full }

        func isFull() -> Bool {
            count.withLock {
                $0 += 1
                return $0 == full
            }
        }
    }

    /// A client of a broker whose answer about the first message of each restore gets lost, from one of them on.
    private struct SilentQueue: QueueDecorator {
        let base: any MessageQueue
        let silence: Silence
        var transfer: (any QueueTransfer)? { base.transfer.map { SilentTransfer(base: $0, silence: silence) } }
    }

    private struct SilentTransfer: TransferDecorator {
        let base: any QueueTransfer
        let silence: Silence

        func restore(_ messages: [StoredMessage], to queue: String) async throws(QueueError) -> [PublishOutcome] {
            guard silence.begins() else { return try await base.restore(messages, to: queue) }
            let kept = silence.arrives ? messages[...] : messages.dropFirst()
            let outcomes = kept.isEmpty ? [] : try await base.restore(Array(kept), to: queue)
            let lost = PublishOutcome.indeterminate(QueueError(.indeterminate, "no answer", queue: queue))
            return [lost] + outcomes.suffix(messages.count - 1)
        }
    }

    private final class Silence: Sendable {
        /// How many restores are left that are answered; `nil` when all are.
        private let left: Mutex<Int?>
        let arrives: Bool

        init(after count: Int, arrives: Bool) {
            left = Mutex(count)
            self.arrives = arrives
        }

        func begins() -> Bool {
            left.withLock { left in
                guard let count = left else { return false }
                left = max(0, count - 1)
                return count == 0
            }
        }

        func end() { left.withLock { $0 = nil } }
    }

    /// What is on both sides at the same time.
    private static func doubled(_ world: World) async throws -> Set<String> {
        func names(_ place: Place) async throws -> Set<String> {
            Set(try await World.contents(place).map { "\($0.id) \($0.group ?? "*")" })
        }
        return try await names(world.source).intersection(names(world.target))
    }

    /// Goes on, and says what is wrong afterwards.
    private static func goOn(_ world: World, _ before: Set<Trace>) async throws -> [String] {
        let migrator = try world.migrator(losses: Pair.memoryMemory.losses)
        _ = try await migrator.apply(World.name)
        _ = try await migrator.finish(World.name)
        return try await world.problems(before)
    }

    @Test(
        "by a person who stops it: nothing is on both sides, and it goes on",
        arguments: [Failpoint.Effect.take, .intend, .restore, .done, .settle, .removed]
    )
    func cancelled(effect: Failpoint.Effect) async throws {
        for side in Failpoint.Side.allCases {
            let world = try Pair.memoryMemory.world()
            let before = try await world.fill(90)
            let hits = Mutex(0)
            let running = Mutex<Task<Void, any Error>?>(nil)
            let migrator = try world.migrator(losses: Pair.memoryMemory.losses) { migrator in
                migrator.page = 16
                migrator.failpoints = Failpoints { point in
                    guard point == Failpoint(effect, side) else { return }
                    let count = hits.withLock {
                        $0 += 1
                        return $0
                    }
                    if count == 3 { running.withLock { $0?.cancel() } }
                }
            }
            let task = Task {
                // Not before it can be stopped.
                while running.withLock({ $0 }) == nil { await Task.yield() }
                _ = try await migrator.apply(World.name)
            }
            running.withLock { $0 = task }
            let error = await #expect(throws: (any Error).self, "\(effect).\(side)") { try await task.value }
            #expect(
                error is CancellationError || (error as? QueueError)?.code == .cancelled,
                "\(effect).\(side): \(String(describing: error))"
            )
            #expect(try await Self.doubled(world) == [], "\(effect).\(side)")
            #expect(try await Self.goOn(world, before) == [], "\(effect).\(side)")
        }
    }

    @Test("by a side that is full for a moment: nothing is on both sides, and it goes on", arguments: [1, 3, 5])
    func full(call: Int) async throws {
        let calls = Calls(full: call)
        let target = MemoryQueue()
        let world = try World { _ in
            (
                .memory("a"),
                Place(description: "memory:b") { FullQueue(base: target.makeClient(), calls: calls) }
            )
        }
        let before = try await world.fill(90)
        let migrator = try world.migrator(patience: .zero, losses: Pair.memoryMemory.losses) { $0.page = 16 }
        // The gates are tried again, too; what is looked for is the refusal.
        var refusal: QueueError?
        for _ in 0..<200 where refusal == nil {
            do { _ = try await migrator.apply(World.name) } catch let error as QueueError { refusal = error } catch {}
        }
        #expect(refusal?.message.contains("no room now") == true, "\(String(describing: refusal))")
        #expect(try await Self.doubled(world) == [])
        #expect(try await Self.goOn(world, before) == [])
    }

    @Test(
        "by a side whose answer gets lost: only such messages may be on both sides, and it goes on",
        arguments: [1, 3, 5],
        [true, false]
    )
    func unanswered(after count: Int, arrives: Bool) async throws {
        let silence = Silence(after: count, arrives: arrives)
        let target = MemoryQueue()
        let world = try World { _ in
            (
                .memory("a"),
                Place(description: "memory:b") { SilentQueue(base: target.makeClient(), silence: silence) }
            )
        }
        let before = try await world.fill(90)
        let migrator = try world.migrator(patience: .zero, losses: Pair.memoryMemory.losses) { $0.page = 16 }
        // The gates are tried again, too; what is looked for is the answer that never came.
        var unknown: QueueError?
        for _ in 0..<200 where unknown == nil {
            do { _ = try await migrator.apply(World.name) } catch let error as QueueError { unknown = error } catch {}
        }
        #expect(unknown?.code == .indeterminate, "\(String(describing: unknown))")
        let doubled = try await Self.doubled(world)
        // The next page may be on its way by then.
        #expect(doubled.count <= (arrives ? 2 : 0), "\(doubled)")
        for group in try await world.source.make().statistics(of: World.name).groups {
            #expect(group.inFlight.value == 0, "\(group.group) has messages that nobody handles")
        }
        silence.end()
        #expect(try await Self.goOn(world, before) == [])
    }
}

import Foundation
import Messaging
import Synchronization
import Testing

@testable import MessagingMigration

/// What is ready goes over in pages, of which several are under way at the same time.
@Suite("A bridge that is left in the middle", .timeLimit(.minutes(5)))
struct BridgeTests {
    /// Which restores of a run go wrong.
    private final class Trouble: Sendable {
        private let state: Mutex<(count: Int, isOver: Bool)>
        private let calls: ClosedRange<Int>

        init(_ calls: ClosedRange<Int>) {
            self.calls = calls
            state = Mutex((0, false))
        }

        /// Counts a restore, and tells whether it goes wrong.
        func meets() -> Bool {
            state.withLock { state in
                state.count += 1
                return !state.isOver && calls.contains(state.count)
            }
        }

        func end() { state.withLock { $0.isOver = true } }
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

    /// Moves until the broker's trouble ends it.
    ///
    /// The gates are tried again, too; what is looked for is an error of the broker.
    private static func trouble(of world: World) async throws -> QueueError? {
        let migrator = try world.migrator(patience: .zero, losses: Pair.memoryMemory.losses) { $0.page = 16 }
        for _ in 0..<200 {
            do { _ = try await migrator.apply(World.name) } catch let error as QueueError { return error } catch {}
        }
        return nil
    }

    @Test("by a side that is full for a moment: nothing is on both sides, and it goes on", arguments: [1, 3, 5])
    func full(call: Int) async throws {
        let trouble = Trouble(call...call)
        let world = try World.memory { (messages, queue, transfer) async throws(QueueError) in
            guard trouble.meets() else { return try await transfer.restore(messages, to: queue) }
            return messages.map { _ in .refused(QueueError(.unavailable, "no room now", queue: queue)) }
        }
        let before = try await world.fill(90)
        let refusal = try await Self.trouble(of: world)
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
        let trouble = Trouble((count + 1)...Int.max)
        let world = try World.memory { (messages, queue, transfer) async throws(QueueError) in
            guard trouble.meets() else { return try await transfer.restore(messages, to: queue) }
            let kept = arrives ? messages[...] : messages.dropFirst()
            let outcomes = kept.isEmpty ? [] : try await transfer.restore(Array(kept), to: queue)
            let lost = PublishOutcome.indeterminate(QueueError(.indeterminate, "no answer", queue: queue))
            return [lost] + outcomes.suffix(messages.count - 1)
        }
        let before = try await world.fill(90)
        let unknown = try await Self.trouble(of: world)
        #expect(unknown?.code == .indeterminate, "\(String(describing: unknown))")
        let doubled = try await Self.doubled(world)
        // The next page may be on its way by then.
        #expect(doubled.count <= (arrives ? 2 : 0), "\(doubled)")
        for group in try await world.source.make().statistics(of: World.name).groups {
            #expect(group.inFlight.value == 0, "\(group.group) has messages that nobody handles")
        }
        trouble.end()
        #expect(try await Self.goOn(world, before) == [])
    }
}

import Foundation
import Messaging
import MessagingMemory
import Synchronization
import Testing

@testable import MessagingMigration

@Suite("Messages that go ahead of a migration", .timeLimit(.minutes(5)))
struct CanaryTests {
    /// What a side gets wrong.
    enum Flaw: String, Sendable, CaseIterable {
        case comesEarly, losesHeaders, forgetsAttempts, losesRedriven

        /// What is said of it.
        var words: String {
            switch self {
            case .comesEarly: "before it was due"
            case .losesHeaders: "another content"
            case .forgetsAttempts: "not counted as an attempt"
            case .losesRedriven: "a dead letter that was sent again did not come"
            }
        }
    }

    /// A client of a broker with a flaw.
    private struct FlawedQueue: QueueDecorator {
        let base: any MessageQueue
        let flaw: Flaw

        var transfer: (any QueueTransfer)? { base.transfer }

        func publish(_ messages: [Message], to queue: String) async throws(QueueError) -> [PublishOutcome] {
            let changed = messages.map { message in
                var message = message
                if flaw == .comesEarly { message.due = nil }
                if flaw == .losesHeaders { message.headers = [:] }
                return message
            }
            return try await base.publish(changed, to: queue)
        }

        func redrive(_ ids: [String], of queue: String) async throws(QueueError) -> [String] {
            if flaw == .losesRedriven { return try await base.discardDeadLetters(ids, of: queue) }
            return try await base.redrive(ids, of: queue)
        }

        func consume(
            _ queue: String,
            group: String,
            consumer: String,
            options: ConsumerOptions
        ) async throws(QueueError) -> any QueueConsumer {
            let made = try await base.consume(queue, group: group, consumer: consumer, options: options)
            return flaw == .forgetsAttempts ? ForgetfulConsumer(base: made) : made
        }
    }

    private struct ForgetfulConsumer: QueueConsumer {
        let base: any QueueConsumer

        var queue: String { base.queue }
        var group: String { base.group }
        var name: String { base.name }
        var lease: Duration { base.lease }

        func receive(max: Int, wait: Duration) async throws(QueueError) -> [Delivery] {
            try await base.receive(max: max, wait: wait).map { delivery in
                Delivery(
                    message: delivery.message,
                    queue: delivery.queue,
                    group: delivery.group,
                    attempt: 1,
                    receipt: delivery.receipt,
                    publishedAt: delivery.publishedAt
                )
            }
        }

        func settle(_ requests: [SettleRequest]) async throws(QueueError) -> [SettleOutcome] {
            try await base.settle(requests)
        }

        func renew(_ receipts: [Receipt]) async throws(QueueError) -> [Bool] { try await base.renew(receipts) }
        func close() async { await base.close() }
    }

    /// A clock for waiting for what never comes: eight times as fast as the one on the wall.
    private static let hurried: QueueClock = {
        let (base, start) = (QueueClock.system, Date())
        let begun = base.now()
        let now = { @Sendable in (base.now() - begun) * 8 }
        return QueueClock(
            now: now,
            date: { start.addingTimeInterval(now() / .seconds(1)) },
            sleepUntil: { try await base.sleep(for: max(.zero, $0 - now()) / 8) }
        )
    }()

    @Test("go through what the new side can do, and leave nothing", arguments: Pair.allCases)
    func sound(pair: Pair) async throws {
        let world = try pair.world()
        let before = try await world.fill(10)
        let hits = Mutex(0)
        let migrator = try world.migrator(losses: pair.losses, sendsCanary: true) { migrator in
            migrator.failpoints = Failpoints { point in
                guard point == Failpoint(.canary, .after) else { return }
                hits.withLock { $0 += 1 }
            }
        }
        #expect(try await migrator.apply(World.name).state == .quarantine)
        #expect(hits.withLock { $0 } == 1)
        #expect(try await world.problems(before) == [])
        #expect(try await world.target.make().queues() == [World.name])
        // On the way back nobody has to ask.
        _ = try await migrator.rollback(World.name)
        #expect(hits.withLock { $0 } == 1)
    }

    @Test("go through an ordered queue")
    func ordered() async throws {
        let world = try Pair.memorySQLite.world()
        try await world.fill(3) { $0.ordering = .keyed }
        let migrator = try world.migrator(.drain, losses: Pair.memorySQLite.losses, sendsCanary: true)
        let name = World.name
        await #expect(throws: CancellationError.self) {
            var migrator = migrator
            migrator.failpoints = Failpoints { point in
                if point == Failpoint(.canary, .after) { throw CancellationError() }
            }
            _ = try await migrator.apply(name)
        }
        #expect(try await world.target.make().queues() == [World.name])
    }

    @Test("find what a side gets wrong before anything is moved", arguments: Flaw.allCases)
    func flawed(flaw: Flaw) async throws {
        let target = MemoryQueue()
        let world = try World { _ in
            (
                .memory("a"),
                Place(description: "memory:b") { FlawedQueue(base: target.makeClient(), flaw: flaw) }
            )
        }
        let before = try await world.fill(10)
        let migrator = try world.migrator(
            losses: Pair.memoryMemory.losses,
            sendsCanary: true,
            clock: flaw == .losesRedriven ? Self.hurried : .system
        )
        let error = await #expect(throws: MigrationError.self) { _ = try await migrator.apply(World.name) }
        #expect(error?.kind == .refused)
        #expect(error?.description.contains(flaw.words) == true, "\(error?.description ?? "-")")
        #expect(error?.description.contains("memory:b") == true)
        #expect(try await world.journal().latest(World.name)?.state == .preparing)
        let kept = try await World.contents(world.source).map(\.description)
        #expect(kept.sorted() == before.map(\.description).sorted())
        #expect(try await target.makeClient().queues() == [World.name])
        // It can be taken back.
        let back = try world.migrator(losses: Pair.memoryMemory.losses)
        #expect(try await back.rollback(World.name).state == .quarantine)
        _ = try await back.finish(World.name)
        #expect(try await World.contents(world.source).map(\.description).sorted() == kept.sorted())
    }

    @Test(
        "are sent again after a crash, and again on the way forward after one back",
        arguments: Failpoint.Side.allCases
    )
    func crash(side: Failpoint.Side) async throws {
        let world = try Pair.memoryMemory.world()
        let before = try await world.fill(5)
        let sung = Mutex(0)
        func migrator(crashing: Bool) throws -> Migrator {
            try world.migrator(losses: Pair.memoryMemory.losses, sendsCanary: true) { migrator in
                migrator.failpoints = Failpoints { point in
                    if crashing, point == Failpoint(.canary, side) { throw Crash() }
                    if point == Failpoint(.canary, .after) { sung.withLock { $0 += 1 } }
                }
            }
        }
        await #expect(throws: Crash.self) { _ = try await migrator(crashing: true).apply(World.name) }
        let second = try migrator(crashing: false)
        _ = try await second.rollback(World.name)
        #expect(sung.withLock { $0 } == 0)
        #expect(try await second.resumeForward(World.name).state == .quarantine)
        #expect(sung.withLock { $0 } == 1)
        #expect(try await world.problems(before) == [])
        #expect(try await world.target.make().queues() == [World.name])
    }

    @Test("what a crash has left is used by the next try and removed")
    func leftOver() async throws {
        let world = try Pair.memoryMemory.world()
        let before = try await world.fill(5)
        let migration = world.migration("0123456789", lease: .milliseconds(30))
        let left = Canary.name(of: migration)
        #expect(left == "orders.canary-23456789")
        let queue = world.target.make()
        try await queue.declare(
            QueueDefinition(left, groups: [GroupDefinition("canary", lease: .seconds(30), maxAttempts: 5)])
        )
        _ = try await queue.publish([World.message("old")], to: left)
        try await world.journal().begin(migration)
        let migrator = try world.migrator(losses: Pair.memoryMemory.losses, sendsCanary: true)
        #expect(try await migrator.apply(World.name).state == .quarantine)
        #expect(try await queue.queues() == [World.name])
        #expect(try await world.problems(before) == [])
    }
}

import Foundation
import Messaging
import Synchronization
import TestSupport
import Testing

@testable import MessagingMigration

/// Pairs of backends that a migration is tried on.
enum Pair: String, CaseIterable, Sendable {
    case memoryMemory, memorySQLite, sqliteMemory, sqliteSQLite

    func world() throws -> World {
        try World { folder in
            switch self {
            case .memoryMemory: (.memory("a"), .memory("b"))
            case .memorySQLite: (.memory("a"), .sqlite(folder, "b"))
            case .sqliteMemory: (.sqlite(folder, "a"), .memory("b"))
            case .sqliteSQLite: (.sqlite(folder, "a"), .sqlite(folder, "b"))
            }
        }
    }

    /// What is lost on the way to memory, and not worth a test's word.
    var losses: Set<String> { ["persistence", "durability"] }
}

@Suite("A migration from its beginning to its end", .timeLimit(.minutes(5)))
struct RunTests {
    @Test("carries everything over, and leaves nothing behind", arguments: Pair.allCases)
    func bridge(pair: Pair) async throws {
        let world = try pair.world()
        let before = try await world.fill(150)
        let migrator = try world.migrator(losses: pair.losses)
        #expect(try await migrator.apply(World.name).state == .quarantine)
        #expect(try await world.problems(before) == [])
        let (_, verification) = try await migrator.verify(World.name)
        #expect(verification.isSame)
        // Schedules, retries and dead letters of both groups.
        #expect(verification.carried.matched >= 150 + 300 + 300)
        #expect(try await migrator.finish(World.name).state == .finished)
        #expect(try await migrator.finish(World.name).state == .finished)
        // What was published there is known here, and there nothing can be published any more.
        let known = [World.message("ready-0"), World.message("new")]
        let (old, new) = (world.source.make(), world.target.make())
        guard case .duplicate = try await new.publish(known, to: World.name)[0] else {
            Issue.record("the ids were not carried over")
            return
        }
        #expect(try await old.publish([World.message("late")], to: World.name)[0].error?.code == .queueClosed)
        #expect(try await world.journal().latest(World.name)?.state == .finished)
    }

    @Test(
        "lets consumers empty the old side, while producers and consumers follow",
        arguments: [Pair.memoryMemory, .sqliteSQLite]
    )
    func drain(pair: Pair) async throws {
        let world = try pair.world()
        try await world.fill(40)
        let counts = Shared<[String: Int]>([:])
        let published = Shared(0)
        let clients = (0..<3).map { world.follower(nil, "p\($0)") }
        try await withThrowingTaskGroup { group in
            for (number, name) in [(0, "billing"), (1, "shipping")] {
                group.addTask {
                    let consumer = try await clients[number].consume(World.name, group: name, consumer: "c")
                    while !Task.isCancelled {
                        for delivery in try await consumer.receive(max: 10, wait: .seconds(5)) {
                            counts.withLock { $0["\(name) \(delivery.message.id)", default: 0] += 1 }
                            try await consumer.acknowledge(delivery)
                        }
                    }
                }
            }
            group.addTask {
                while !Task.isCancelled {
                    let number = published.withLock { $0 }
                    let outcomes = try await clients[2].publish([World.message("live-\(number)")], to: World.name)
                    if let error = outcomes[0].error { throw error }
                    published.withLock { $0 += 1 }
                    try await Task.sleep(for: .milliseconds(2))
                }
            }
            let migrator = try world.migrator(.drain, lease: .milliseconds(200), losses: pair.losses)
            #expect(try await migrator.apply(World.name).state == .quarantine)
            #expect(try await migrator.verify(World.name).1.isSame)
            #expect(try await migrator.finish(World.name).state == .finished)
            let total = published.withLock { $0 }
            #expect(try await eventually { published.withLock { $0 } > total + 20 })
            group.cancelAll()
            while let result = await group.nextResult() {
                if case .failure(let error) = result, (error as? QueueError)?.code != .cancelled,
                    !(error is CancellationError)
                {
                    Issue.record(error)
                }
            }
            // Every message exactly once per group, wherever it was.
            let rest = world.follower(world.target, "rest")
            for name in World.groups {
                let consumer = try await rest.consume(World.name, group: name, consumer: "c")
                var isEmpty = false
                while !isEmpty {
                    let deliveries = try await consumer.receive(max: 100, wait: .milliseconds(50))
                    isEmpty = deliveries.isEmpty
                    for delivery in deliveries {
                        counts.withLock { $0["\(name) \(delivery.message.id)", default: 0] += 1 }
                        try await consumer.acknowledge(delivery)
                    }
                }
            }
            await rest.close()
            for name in World.groups {
                let ids = (0..<40).map { "ready-\($0)" } + (0..<published.withLock { $0 }).map { "live-\($0)" }
                for id in ids { #expect(counts.withLock { $0["\(name) \(id)"] } == 1, "\(name) \(id)") }
            }
        }
        for client in clients { await client.close() }
    }

    @Test("goes back from every state, and nothing is lost or doubled", arguments: MigrationState.allCases)
    func rollback(state: MigrationState) async throws {
        guard state != .finished else { return }
        let world = try Pair.memorySQLite.world()
        let before = try await world.fill(40)
        let losses = Pair.memorySQLite.losses
        // The first call ends when the state is reached.
        let first = try world.migrator(losses: losses) { migrator in
            migrator.failpoints = Failpoints { point in
                guard point == Failpoint(.advance, .before) || point == Failpoint(.begin, .after) else { return }
                guard let latest = try await world.journal().latest(World.name), latest.state == state else { return }
                throw Crash()
            }
        }
        if state == .quarantine {
            _ = try await first.apply(World.name)
        } else {
            await #expect(throws: Crash.self) { _ = try await first.apply(World.name) }
        }
        #expect(try await world.journal().latest(World.name)?.state == state)
        let second = try world.migrator(losses: losses)
        let back = try await second.rollback(World.name)
        #expect(back.state == .quarantine && back.isReversed)
        #expect(try await world.problems(before, at: world.source) == [])
        _ = try await second.finish(World.name)
        let outcome = try await world.source.make().publish([World.message("after")], to: World.name)[0]
        #expect(outcome.isConfirmed)
    }

    @Test("is not held up by a consumer that was closed and is kept")
    func closedConsumer() async throws {
        let world = try Pair.memoryMemory.world()
        let before = try await world.fill(3)
        let client = world.follower(lease: .milliseconds(30))
        let kept = try await client.consume(World.name, group: "billing", consumer: "c")
        let other = try await client.consume(World.name, group: "shipping", consumer: "c")
        await kept.close()
        let migrator = try world.migrator(patience: .seconds(30), losses: Pair.memoryMemory.losses)
        #expect(try await migrator.apply(World.name).state == .quarantine)
        #expect(try await world.problems(before) == [])
        await other.close()
        await kept.close()
        await client.close()
    }

    @Test("goes back and forth again")
    func backAndForth() async throws {
        let world = try Pair.sqliteSQLite.world()
        let before = try await world.fill(30)
        let migrator = try world.migrator()
        _ = try await migrator.apply(World.name)
        _ = try await migrator.rollback(World.name)
        #expect(try await world.problems(before, at: world.source) == [])
        let forth = try await migrator.resumeForward(World.name)
        #expect(forth.leg == 3 && !forth.isReversed)
        #expect(try await world.problems(before) == [])
        _ = try await migrator.finish(World.name)
    }

    @Test("an ordered queue moves without a message of a key overtaking another")
    func ordered() async throws {
        let world = try Pair.sqliteSQLite.world()
        let client = world.follower()
        let definition = QueueDefinition(World.name, groups: [GroupDefinition("billing")], ordering: .keyed)
        try await client.declare(definition)
        let sequence = Shared<[Int]>([])
        let published = Shared(0)
        try await withThrowingTaskGroup { group in
            group.addTask {
                let consumer = try await client.consume(World.name, group: "billing", consumer: "c")
                while !Task.isCancelled {
                    for delivery in try await consumer.receive(max: 5, wait: .seconds(5)) {
                        if let number = delivery.message.text.flatMap({ Int($0) }) {
                            sequence.withLock { $0.append(number) }
                        }
                        try await consumer.acknowledge(delivery)
                    }
                }
            }
            group.addTask {
                while !Task.isCancelled {
                    let number = published.withLock { $0 }
                    try await client.publish(Message(text: "\(number)", key: "k"), to: World.name)
                    published.withLock { $0 += 1 }
                    try await Task.sleep(for: .milliseconds(2))
                }
            }
            let migrator = try world.migrator(.drain, lease: .milliseconds(150))
            _ = try await migrator.apply(World.name)
            _ = try await migrator.finish(World.name)
            let total = published.withLock { $0 }
            #expect(try await eventually { sequence.withLock { $0.count } > total + 20 })
            group.cancelAll()
            while await group.nextResult() != nil {}
        }
        let seen = sequence.withLock { $0 }
        #expect(seen == Array(0..<seen.count))
        await client.close()
    }

    @Test("keeps to the rate")
    func rate() async throws {
        let world = try Pair.memoryMemory.world()
        try await world.fill(64)
        let start = ContinuousClock.now
        _ = try await world.migrator(rate: 1000).apply(World.name)
        // 5 × 64 + 64 messages of which the last batch is waited for, too.
        #expect(ContinuousClock.now - start > .milliseconds(350))
    }

    @Test("stops when nothing gets better, says why, and can be taken up again")
    func patience() async throws {
        let world = try Pair.memoryMemory.world()
        try await world.fill(5)
        let migrator = try world.migrator(.drain, patience: .seconds(3))
        let error = await #expect(throws: MigrationError.self) { _ = try await migrator.apply(World.name) }
        #expect(error?.kind == .refused)
        #expect(error?.description.contains("10 ready") == true)
        let client = world.follower()
        for group in World.groups {
            let consumer = try await client.consume(World.name, group: group, consumer: "c")
            for delivery in try await consumer.receive(max: 5, wait: .seconds(5)) {
                try await consumer.acknowledge(delivery)
            }
        }
        await client.close()
        #expect(try await migrator.apply(World.name).state == .quarantine)
    }
}

/// Stands for the end of the process.
struct Crash: Error {}

/// A value that several tasks change.
final class Shared<Value: Sendable>: Sendable {
    private let value: Mutex<Value>

    init(_ value: Value) { self.value = Mutex(value) }

    func withLock<Result: Sendable>(_ body: (inout Value) -> Result) -> Result {
        value.withLock { value in
            var copy = value
            let result = body(&copy)
            value = copy
            return result
        }
    }
}

import Foundation
import Messaging
import MessagingMemory
import Synchronization
import Testing

@testable import MessagingMigration

@Suite("Producers that go over while the new side does badly", .timeLimit(.minutes(5)))
struct HealthTests {
    /// A client of a broker that refuses publications for a while.
    private struct RefusingQueue: QueueDecorator {
        let base: any MessageQueue
        let refuses: Shared<Bool>

        var transfer: (any QueueTransfer)? { base.transfer }

        func publish(_ messages: [Message], to queue: String) async throws(QueueError) -> [PublishOutcome] {
            guard refuses.withLock({ $0 }) else { return try await base.publish(messages, to: queue) }
            return messages.map { _ in .refused(QueueError(.brokerError, "no room", queue: queue)) }
        }
    }

    @Test("wait until it does well again, and lose nothing that was confirmed")
    func errors() async throws {
        let (refuses, target) = (Shared(true), MemoryQueue())
        let world = try World { _ in
            (
                .memory("a"),
                Place(description: "memory:b") { RefusingQueue(base: target.makeClient(), refuses: refuses) }
            )
        }
        try await world.source.make().declare(world.definition())
        // Long enough that a producer on a busy machine does publish meanwhile.
        let lease: Duration = .seconds(1)
        let client = world.follower(nil, "p", lease: lease)
        // A publication before, so that the process is known when it begins.
        _ = try await client.publish([World.message("first")], to: World.name)
        let confirmed = Shared<[String]>(["first"])
        let failures = Shared(0)
        let publishing = Task {
            var number = 0
            while !Task.isCancelled {
                let messages = (0..<20).map { World.message("m\(number)-\($0)") }
                let outcomes = try await client.publish(messages, to: World.name)
                for (message, outcome) in zip(messages, outcomes) {
                    if outcome.isConfirmed {
                        confirmed.withLock { $0.append(message.id.rawValue) }
                    } else {
                        failures.withLock { $0 += 1 }
                    }
                }
                number += 1
                try await Task.sleep(for: .milliseconds(50))
            }
        }
        let waited = Shared<[Int]>([])
        let migrator = try world.migrator(.bridge, lease: lease, losses: Pair.memoryMemory.losses)
        let moving = Task { try await migrator.apply(World.name) }
        let end = ContinuousClock.now + .seconds(60)
        // It stays where it is while the few that have gone over fail.
        while waited.withLock({ $0.count }) < 3, ContinuousClock.now < end {
            let waiting = world.steps.withLock { steps in
                steps.compactMap { step -> Int? in
                    guard case .waiting(let migration, let why) = step, why.contains("publications to memory:b failed")
                    else { return nil }
                    return migration.percent
                }
            }
            waited.withLock { $0 = waiting }
            try await Task.sleep(for: .milliseconds(20))
        }
        #expect(waited.withLock { $0.count } >= 3)
        #expect(waited.withLock { $0.allSatisfy { $0 < KeyBucket.count } })
        refuses.withLock { $0 = false }
        #expect(try await moving.value.state == .quarantine)
        publishing.cancel()
        _ = await publishing.result
        await client.close()
        #expect(failures.withLock { $0 } > 0)
        let there = Set(try await World.contents(world.target).map(\.id))
        #expect(there == Set(confirmed.withLock { $0 }))
    }

    @Test("are heard although they end at once, and only what was told since the last step counts")
    func facts() async throws {
        let world = try Pair.memoryMemory.world()
        try await world.fill(1)
        let journal = try world.journal()
        let start = Date()
        var migration = world.migration("m", lease: .seconds(10), at: start.addingTimeInterval(-5))
        (migration.state, migration.percent, migration.epoch) = (.switching, 1, 3)
        try await journal.begin(migration)
        let migrator = try world.migrator(losses: Pair.memoryMemory.losses)
        func join(_ id: String, _ epoch: Int, looked seconds: Double, _ failed: Int, hasLeft: Bool) async throws {
            let row = Participant(
                id: id,
                name: id,
                epoch: epoch,
                // As who looked then writes it.
                expiresAt: migration.changedAt.addingTimeInterval(seconds + 10),
                lately: PublicationCount(attempted: 10, failed: failed),
                hasLeft: hasLeft
            )
            try await journal.join(row, migration)
        }
        try await join("early", 3, looked: 4, 1, hasLeft: false)
        try await join("late", 3, looked: 5.5, 2, hasLeft: false)
        try await join("behind", 2, looked: 6, 0, hasLeft: false)
        try await join("gone", 2, looked: 1, 3, hasLeft: true)
        let facts = try await migrator.facts(migration)
        #expect(facts.silent == ["early"])
        #expect(facts.behind == ["behind"])
        #expect(facts.lately == PublicationCount(attempted: 40, failed: 6))
    }

    @Test("that fail and end are heard until a lease later")
    func closing() async throws {
        let target = MemoryQueue()
        let world = try World { _ in
            (
                .memory("a"),
                Place(description: "memory:b") { RefusingQueue(base: target.makeClient(), refuses: Shared(true)) }
            )
        }
        try await world.source.make().declare(world.definition())
        try await target.makeClient().declare(world.definition())
        let journal = try world.journal()
        var migration = world.migration("m", lease: .seconds(10))
        (migration.state, migration.percent, migration.epoch) = (.switching, 100, 3)
        try await journal.begin(migration)
        for fails in [false, true] {
            let client = world.follower(nil, "p", lease: .seconds(10))
            if fails { _ = try await client.publish([World.message("x")], to: World.name) }
            _ = try await client.statistics(of: World.name)
            await client.close()
        }
        let members = try await journal.participants(of: migration, now: Date())
        #expect(members.map(\.hasLeft) == [true])
        #expect(members.first?.lately == PublicationCount(attempted: 1, failed: 1))
        let later = try await journal.participants(of: migration, now: Date().addingTimeInterval(11))
        #expect(later.isEmpty)
    }

    @Test("wait while a group has too much to do there, when a bound is given")
    func lag() async throws {
        let world = try Pair.memoryMemory.world()
        try await world.fill(1)
        let target = world.target.make()
        let migrator = try world.migrator(
            patience: .milliseconds(300),
            losses: Pair.memoryMemory.losses,
            limits: MigrationLimits(maxLag: 3)
        ) { migrator in
            migrator.failpoints = Failpoints { point in
                // Somebody else publishes there.
                guard point == Failpoint(.open, .after) else { return }
                _ = try await target.publish((0..<4).map { World.message("other-\($0)") }, to: World.name)
            }
        }
        let error = await #expect(throws: MigrationError.self) { _ = try await migrator.apply(World.name) }
        #expect(error?.description.contains("a group has 4 messages ready on memory:b, more than 3") == true)
        #expect(try await world.journal().latest(World.name)?.percent == 0)
        let consumer = try await target.consume(World.name, group: "billing", consumer: "c")
        let other = try await target.consume(World.name, group: "shipping", consumer: "c")
        for consumer in [consumer, other] {
            for delivery in try await consumer.receive(max: 1, wait: .seconds(5)) {
                try await consumer.acknowledge(delivery)
            }
        }
        let again = try world.migrator(losses: Pair.memoryMemory.losses, limits: MigrationLimits(maxLag: 3))
        #expect(try await again.apply(World.name).state == .quarantine)
    }
}

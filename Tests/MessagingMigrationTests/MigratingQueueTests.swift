import Foundation
import Logging
import Messaging
import MessagingMemory
import Synchronization
import TestSupport
import Testing

@testable import MessagingMigration

@Suite("A process that follows a migration", .timeLimit(.minutes(2)))
struct MigratingQueueTests {
    /// A migration in the journal that this test moves on by hand.
    private final class Moving: Sendable {
        let world: World
        let journal: MigrationJournal
        private let state: Mutex<Migration>

        init(_ world: World, lease: Duration = .milliseconds(150)) async throws {
            self.world = world
            journal = try world.journal()
            let migration = Migration(
                id: "m-\(MessageID.make())",
                queue: World.name,
                source: world.source.description,
                target: world.target.description,
                mode: .drain,
                isOrdered: false,
                lease: lease,
                date: Date()
            )
            state = Mutex(migration)
            try await journal.begin(migration)
        }

        var migration: Migration { state.withLock { $0 } }

        func go(_ state: MigrationState, percent: Int = 0) async throws {
            let old = migration
            var new = old
            (new.state, new.percent, new.epoch) = (state, percent, old.epoch + 1)
            try await journal.advance(old, to: new)
            self.state.withLock { [new] in $0 = new }
        }
    }

    private static func bothDeclared(_ world: World) async throws {
        try await world.source.make().declare(world.definition())
        try await world.target.make().declare(world.definition())
    }

    private static func messages(_ count: Int) -> [Message] { (0..<count).map { World.message("m-\($0)") } }

    @Test("is the backend itself while there is no journal, and makes none")
    func noJournal() async throws {
        let world = try Pair.memoryMemory.world()
        let client = world.follower()
        try await client.declare(world.definition())
        try await client.publish(World.message("a"), to: World.name)
        let consumer = try await client.consume(World.name, group: "billing", consumer: "c")
        let delivery = try #require(try await consumer.receive(max: 1, wait: .seconds(5)).first)
        try await consumer.acknowledge(delivery)
        #expect(!MigrationJournal.exists(at: world.journalPath))
        #expect(try await client.definition(of: World.name) == world.definition())
        await client.close()
        let error = await #expect(throws: QueueError.self) {
            _ = try await client.publish([World.message("b")], to: World.name)
        }
        #expect(error?.code == .closed)
    }

    @Test("publishes each message on its side, reads both, and settles where a delivery came from")
    func bothSides() async throws {
        let world = try Pair.memorySQLite.world()
        try await Self.bothDeclared(world)
        let moving = try await Moving(world)
        try await moving.go(.switching, percent: 50)
        let client = world.follower()
        let messages = Self.messages(200)
        for outcome in try await client.publish(messages, to: World.name) { #expect(outcome.isConfirmed) }
        let there = try await World.contents(world.target).filter { $0.group == "billing" }.map(\.id)
        #expect(Set(there) == Set(messages.filter(moving.migration.hasGoneOver).map(\.id.rawValue)))
        #expect(try await World.contents(world.source).count { $0.group == "billing" } == 200 - there.count)
        #expect(50...150 ~= there.count)
        let figures = try await client.statistics(of: World.name)
        #expect(figures["billing"]?.ready == .exact(200))
        let consumer = try await client.consume(World.name, group: "billing", consumer: "c")
        var seen: [MessageID] = []
        while seen.count < 200 {
            let deliveries = try await consumer.receive(max: 7, wait: .seconds(5))
            #expect((1...7).contains(deliveries.count))
            if deliveries.isEmpty { break }
            #expect(try await consumer.renew(deliveries.map(\.receipt)).allSatisfy(\.self))
            for outcome in try await consumer.settle(deliveries.map { SettleRequest($0.receipt, .acknowledge) }) {
                #expect(outcome.error == nil)
            }
            seen += deliveries.map(\.message.id)
        }
        #expect(Set(seen) == Set(messages.map(\.id)) && seen.count == 200)
        #expect(try await client.statistics(of: World.name)["billing"]?.lag == .exact(0))
        await consumer.close()
        await client.close()
    }

    @Test("a consumer that waits gets what comes on either side")
    func waiting() async throws {
        let world = try Pair.memoryMemory.world()
        try await Self.bothDeclared(world)
        let moving = try await Moving(world)
        try await moving.go(.reading)
        let client = world.follower(lease: .seconds(2))
        let consumer = try await client.consume(World.name, group: "billing", consumer: "c")
        for (place, text) in [(world.target, "new"), (world.source, "old"), (world.target, "again")] {
            async let received = consumer.receive(max: 1, wait: .seconds(20))
            try await Task.sleep(for: .milliseconds(20))
            try await place.make().publish(World.message(text), to: World.name)
            let delivery = try #require(try await received.first)
            #expect(delivery.message.id == MessageID(text))
            try await consumer.acknowledge(delivery)
        }
        await client.close()
    }

    @Test("what a closed side refuses to a process that knew of no migration goes to the new side")
    func unaware() async throws {
        let world = try Pair.memoryMemory.world()
        try await Self.bothDeclared(world)
        // So long that it does not look again by itself.
        let client = world.follower(lease: .seconds(600))
        try await client.publish(World.message("before"), to: World.name)
        let moving = try await Moving(world, lease: .seconds(600))
        try await moving.go(.closing, percent: 100)
        try await world.source.side.transfer().setIntake(isOpen: false, of: World.name)
        for outcome in try await client.publish(Self.messages(3), to: World.name) { #expect(outcome.isConfirmed) }
        let there = try await World.contents(world.target).filter { $0.group == "billing" }.map(\.id)
        #expect(Set(there) == ["m-0", "m-1", "m-2"])
        await client.close()
        // Closed for another reason than a migration, it stays refused.
        let other = try Pair.memoryMemory.world()
        try await Self.bothDeclared(other)
        let plain = other.follower()
        try await other.source.side.transfer().setIntake(isOpen: false, of: World.name)
        let refused = try await plain.publish([World.message("c")], to: World.name).first?.error
        #expect(refused?.code == .queueClosed)
        await plain.close()
    }

    @Test("follows a migration that begins while it runs, and counts as following only then")
    func joins() async throws {
        let world = try Pair.memoryMemory.world()
        try await Self.bothDeclared(world)
        let client = world.follower(lease: .milliseconds(90))
        let consumer = try await client.consume(World.name, group: "billing", consumer: "c")
        let moving = try await Moving(world)
        try await moving.go(.reading)
        #expect(
            try await eventually {
                let members = try await moving.journal.participants(of: moving.migration, now: Date())
                return members.map(\.epoch) == [moving.migration.epoch]
            }
        )
        // Nothing was asked of the consumer, and it reads the new side all the same.
        try await moving.go(.finished, percent: 100)
        #expect(try await eventually { try await client.definition(of: World.name) != nil })
        try await world.target.make().publish(World.message("a"), to: World.name)
        #expect(try await consumer.receive(max: 1, wait: .seconds(10)).first?.message.id == "a")
        await client.close()
        #expect(try await moving.journal.participants(of: moving.migration, now: Date()).isEmpty)
    }

    @Test("counts as behind while a publication of before is on its way")
    func publicationOnItsWay() async throws {
        let world = try Pair.memoryMemory.world()
        try await Self.bothDeclared(world)
        let moving = try await Moving(world)
        let slow = SlowQueue(world.source.make())
        let client = MigratingQueue(
            MigrationSide(slow, label: world.source.description),
            journal: world.journalPath,
            lease: .milliseconds(90),
            name: "slow",
            logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }
        ) { _ in world.target.make() }
        let publication = Task { try await client.publish([World.message("a")], to: World.name) }
        await slow.hasBegun()
        try await moving.go(.reading)
        let journal = moving.journal
        #expect(
            try await eventually {
                try await journal.participants(of: moving.migration, now: Date()).first?.epoch == moving.migration.epoch
                    - 1
            }
        )
        slow.goOn()
        #expect(try await publication.value[0].isConfirmed)
        #expect(
            try await eventually {
                try await journal.participants(of: moving.migration, now: Date()).first?.epoch == moving.migration.epoch
            }
        )
        await client.close()
    }

    @Test("what a closed side refuses goes to the new one")
    func closed() async throws {
        let world = try Pair.memoryMemory.world()
        try await Self.bothDeclared(world)
        let moving = try await Moving(world)
        // With a long lease it has not seen the last step when it publishes.
        let client = world.follower(lease: .seconds(60))
        try await client.publish(World.message("before"), to: World.name)
        try await moving.go(.closing, percent: 100)
        try await world.source.side.transfer().setIntake(isOpen: false, of: World.name)
        for outcome in try await client.publish(Self.messages(5), to: World.name) { #expect(outcome.isConfirmed) }
        #expect(try await World.contents(world.target).count { $0.group == "billing" } == 5)
        await client.close()
    }

    @Test("after a refusal it looks anew, although a look that has read the step before is under way")
    func looksAnew() async throws {
        let world = try Pair.memoryMemory.world()
        try await Self.bothDeclared(world)
        let clock = ManualClock()
        let (old, new) = (ReluctantQueue(world.source.make()), ReluctantQueue(world.target.make()))
        old.goOn()
        let client = MigratingQueue(
            MigrationSide(old, label: world.source.description),
            journal: world.journalPath,
            lease: .seconds(600),
            name: "p",
            clock: clock.queueClock,
            logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }
        ) { _ in new }
        let consumer = try await client.consume(World.name, group: "billing", consumer: "c")
        let moving = try await Moving(world, lease: .seconds(600))
        try await moving.go(.reading)
        // The look that time asks for reads this step, and lasts until the consumer has opened the new side.
        await clock.waitForSleepers(1)
        clock.advance(by: .seconds(200))
        await new.hasBegun()
        try await moving.go(.closing, percent: 100)
        try await world.source.side.transfer().setIntake(isOpen: false, of: World.name)
        let publication = Task { try await client.publish([World.message("a")], to: World.name) }
        #expect(try await eventually { old.answered == 1 })
        // Time to meet that look; who asks after its end begins another one anyway.
        try await Task.sleep(for: .milliseconds(50))
        new.goOn()
        #expect(try await publication.value[0].isConfirmed)
        #expect(try await World.contents(world.target).contains { $0.id == "a" && $0.group == "billing" })
        await consumer.close()
        await client.close()
    }

    @Test("a message whose fate is unknown stays on its side")
    func indeterminate() async throws {
        let world = try Pair.memoryMemory.world()
        try await Self.bothDeclared(world)
        let moving = try await Moving(world)
        let forgetful = ForgetfulQueue(world.source.make())
        let client = MigratingQueue(
            MigrationSide(forgetful, label: world.source.description),
            journal: world.journalPath,
            lease: .milliseconds(90),
            name: "p",
            logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }
        ) { _ in world.target.make() }
        guard case .indeterminate = try await client.publish([World.message("a")], to: World.name)[0] else {
            Issue.record("the answer should have been lost")
            return
        }
        try await moving.go(.switching, percent: 100)
        #expect(
            try await eventually {
                _ = try await client.publish([World.message("b")], to: World.name)
                return try await World.contents(world.target).contains { $0.id == "b" }
            }
        )
        guard case .duplicate = try await client.publish([World.message("a")], to: World.name)[0] else {
            Issue.record("it went to another side")
            return
        }
        #expect(try await World.contents(world.target).allSatisfy { $0.id != "a" })
        await client.close()
    }

    @Test("publishes nothing when it cannot find out where to")
    func lostJournal() async throws {
        let world = try Pair.memoryMemory.world()
        try await Self.bothDeclared(world)
        _ = try await Moving(world)
        let client = world.follower(lease: .milliseconds(90))
        try await client.publish(World.message("a"), to: World.name)
        for suffix in ["", "-wal", "-shm"] {
            try? FileManager.default.removeItem(atPath: world.journalPath + suffix)
        }
        #expect(
            try await eventually {
                do {
                    _ = try await client.publish([World.message("b")], to: World.name)
                    return false
                } catch let error as QueueError {
                    return error.code == .unavailable
                }
            }
        )
        await client.close()
    }

    @Test("dead letters and schedules of both sides are listed, and changed where they are")
    func administration() async throws {
        let world = try Pair.memoryMemory.world()
        try await Self.bothDeclared(world)
        for place in [world.source, world.target] {
            let queue = place.make()
            for number in 0..<3 {
                try await queue.publish(World.message("\(place)-\(number)"), to: World.name)
                let due = Message.Due.after(.seconds(3600))
                try await queue.publish(World.message("\(place)-later-\(number)", due: due), to: World.name)
            }
            let consumer = try await queue.consume(World.name, group: "billing", consumer: "c")
            for delivery in try await consumer.receive(max: 3, wait: .seconds(5)) {
                try await consumer.settle(delivery, .reject(reason: .rejected, error: "no"))
            }
        }
        let moving = try await Moving(world)
        try await moving.go(.reading)
        let client = world.follower()
        var letters: [DeadLetter] = []
        var cursor: String?
        repeat {
            let page = try await client.deadLetters(of: World.name, matching: .all, after: cursor, limit: 2)
            letters += page.elements
            cursor = page.next
        } while cursor != nil
        #expect(letters.count == 6 && Set(letters.map(\.id)).count == 6)
        #expect(try await client.redrive([letters[0].id, letters[5].id], of: World.name).count == 2)
        #expect(try await client.discardDeadLetters([letters[1].id], of: World.name) == [letters[1].id])
        #expect(try await client.statistics(of: World.name)["billing"]?.dead == .exact(3))
        var later: [MessageID] = []
        repeat {
            let page = try await client.scheduled(of: World.name, after: cursor, limit: 2)
            later += page.elements.map(\.message.id)
            cursor = page.next
        } while cursor != nil
        #expect(Set(later).count == 6)
        #expect(Set(try await client.cancelScheduled(later, of: World.name)) == Set(later))
        let error = await #expect(throws: QueueError.self) { _ = try await client.deleteQueue(World.name) }
        #expect(error?.code == .topologyConflict)
        await client.close()
    }

    @Test("receipts carry their side and nothing else changes")
    func receipts() {
        for number in 0..<4 {
            let receipt = Receipt(high: .max, low: 7, fence: 12, source: .max)
            let (original, side) = MigratingConsumer.original(MigratingConsumer.marked(receipt, number))
            #expect(original == receipt && side == number)
        }
    }
}

/// A queue whose publications wait until they may go on.
private final class SlowQueue: QueueDecorator {
    let base: any MessageQueue
    private let begun = AsyncStream<Void>.makeStream()
    private let gate = AsyncStream<Void>.makeStream()

    init(_ base: any MessageQueue) { self.base = base }

    func hasBegun() async { for await _ in begun.stream { return } }

    func goOn() { gate.continuation.finish() }

    func publish(_ messages: [Message], to queue: String) async throws(QueueError) -> [PublishOutcome] {
        begun.continuation.yield()
        for await _ in gate.stream {}
        return try await base.publish(messages, to: queue)
    }
}

/// A queue whose consumers open when they may, and which counts the publications that it has answered.
private final class ReluctantQueue: QueueDecorator {
    let base: any MessageQueue
    private let begun = AsyncStream<Void>.makeStream()
    private let gate = AsyncStream<Void>.makeStream()
    private let answers = Mutex(0)

    init(_ base: any MessageQueue) { self.base = base }

    var answered: Int { answers.withLock { $0 } }

    func hasBegun() async { for await _ in begun.stream { return } }

    func goOn() { gate.continuation.finish() }

    func publish(_ messages: [Message], to queue: String) async throws(QueueError) -> [PublishOutcome] {
        let outcomes = try await base.publish(messages, to: queue)
        answers.withLock { $0 += 1 }
        return outcomes
    }

    func consume(
        _ queue: String,
        group: String,
        consumer: String,
        options: ConsumerOptions
    ) async throws(QueueError) -> any QueueConsumer {
        begun.continuation.yield()
        for await _ in gate.stream {}
        return try await base.consume(queue, group: group, consumer: consumer, options: options)
    }
}

/// A queue whose first answer never comes.
private final class ForgetfulQueue: QueueDecorator {
    let base: any MessageQueue
    private let isFirst = Mutex(true)

    init(_ base: any MessageQueue) { self.base = base }

    func publish(_ messages: [Message], to queue: String) async throws(QueueError) -> [PublishOutcome] {
        let outcomes = try await base.publish(messages, to: queue)
        let forgets = isFirst.withLock { isFirst in
            defer { isFirst = false }
            return isFirst
        }
        return forgets
            ? outcomes.map { _ in .indeterminate(QueueError(.indeterminate, "the answer is lost")) } : outcomes
    }
}

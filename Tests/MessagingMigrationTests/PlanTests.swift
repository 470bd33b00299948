import Foundation
import Messaging
import MessagingMemory
import Synchronization
import Testing

@testable import MessagingMigration

@Suite("Plans", .timeLimit(.minutes(1)))
struct PlanTests {
    @Test("show what there is, and write nothing on either side")
    func dryRun() async throws {
        let world = try Pair.memoryMemory.world()
        try await world.fill(20)
        let (from, to) = (ReadingQueue(world.source.make()), ReadingQueue(world.target.make()))
        let before = try await World.contents(world.source).map(\.description)
        let plan = try await Surveyor(
            from: MigrationSide(from, label: "a"),
            to: MigrationSide(to, label: "b")
        ).plan(World.name, mode: .bridge)
        #expect(from.writes.isEmpty && to.writes.isEmpty)
        #expect(try await World.contents(world.source).map(\.description) == before)
        #expect(try await world.target.make().queues().isEmpty)
        #expect(plan.blocked.isEmpty && plan.losses.isEmpty)
        #expect(plan.inventory.count(.ready) == 40)
        #expect(plan.inventory.count(.waiting) == 40)
        #expect(plan.inventory.count(.dead) == 40)
        #expect(plan.inventory.count(.scheduled) == 20)
        #expect(plan.inventory.remembered == 80)
        #expect(plan.items.contains { $0.sign == .create && $0.name == "queue" })
        #expect(plan.items.count { $0.sign == .move } == 2 + 2 + 1 + 1)
        #expect((plan.estimatedSeconds ?? -1) >= 0)
        let text = try JSONEncoder().encode(plan)
        #expect(try JSONDecoder().decode(MigrationPlan.self, from: text) == plan)
    }

    @Test("of an empty queue and of none")
    func empty() async throws {
        let world = try Pair.memoryMemory.world()
        let surveyor = Surveyor(from: world.source.side, to: world.target.side)
        let error = await #expect(throws: MigrationError.self) { _ = try await surveyor.plan(World.name) }
        #expect(error?.kind == .notFound)
        try await world.source.make().declare(world.definition())
        let plan = try await surveyor.plan(World.name)
        #expect(plan.items.allSatisfy { $0.sign == .create || $0.sign == .note })
        #expect(plan.estimatedSeconds == 0)
        let same = Surveyor(from: world.source.side, to: world.source.side)
        let twice = await #expect(throws: MigrationError.self) { _ = try await same.plan(World.name) }
        #expect(twice?.kind == .otherSide)
    }

    @Test("name what forbids the move, with ids")
    func blocked() async throws {
        let world = try World { _ in
            let small = MemoryQueue(maxBodyBytes: 10)
            return (.memory("a"), Place(description: "memory:b") { small.makeClient() })
        }
        try await world.fill(2)
        let surveyor = Surveyor(from: world.source.side, to: world.target.side)
        var plan = try await surveyor.plan(World.name)
        let item = try #require(plan.blocked.first)
        #expect(item.name == "messages" && item.ids.contains("scheduled-0"))
        #expect(throws: MigrationError.self) { try plan.check(accepting: ["messages"]) }
        let error = await #expect(throws: MigrationError.self) { _ = try await world.migrator().apply(World.name) }
        #expect(error?.kind == .blocked)
        #expect(try await world.target.make().queues().isEmpty)
        #expect(try await world.journal().all().isEmpty)
        // A target that holds something already.
        let full = try Pair.memoryMemory.world()
        try await full.fill(1)
        try await full.target.make().declare(full.definition { $0.dedupeWindow = .seconds(5) })
        try await full.target.make().publish(World.message("x"), to: World.name)
        plan = try await Surveyor(from: full.source.side, to: full.target.side).plan(World.name)
        #expect(Set(plan.blocked.map(\.name)) == ["topology", "not-empty"])
    }

    @Test("tell what is lost, and take it only by its name")
    func losses() async throws {
        let world = try World { _ in
            let plain = PlainQueue(MemoryQueue())
            return (.memory("a"), Place(description: "memory:b") { plain })
        }
        try await world.fill(1) { ($0.retention, $0.maxReady, $0.ordering) = (.seconds(60), 1000, .unordered) }
        let plan = try await Surveyor(from: world.source.side, to: world.target.side).plan(World.name)
        #expect(plan.blocked.isEmpty)
        let names = Set(plan.losses.map(\.name))
        #expect(names == ["bounded-queue", "replay", "retained-history", "renewal"])
        var error = await #expect(throws: MigrationError.self) { _ = try await world.migrator().apply(World.name) }
        #expect(error?.kind == .lossy)
        let some = try world.migrator(losses: ["replay"])
        error = await #expect(throws: MigrationError.self) { _ = try await some.apply(World.name) }
        #expect(error?.description.contains("--accept-loss bounded-queue") == true)
        #expect(try await world.migrator(losses: names).apply(World.name).state == .quarantine)
        let mapped = try #require(try await world.target.make().definition(of: World.name))
        #expect(mapped.maxReady == nil && mapped.retention == .zero)
    }

    @Test("hold only while the source is near them")
    func drift() async throws {
        let world = try Pair.memoryMemory.world()
        try await world.fill(20)
        let surveyor = Surveyor(from: world.source.side, to: world.target.side)
        let plan = try await surveyor.plan(World.name, mode: .bridge)
        let queue = world.source.make()
        for number in 0..<2 { try await queue.publish(World.message("more-\(number)"), to: World.name) }
        #expect(plan.drift(to: try await surveyor.plan(World.name, mode: .bridge), tolerance: 0.1) == nil)
        for number in 2..<30 { try await queue.publish(World.message("more-\(number)"), to: World.name) }
        let now = try await surveyor.plan(World.name, mode: .bridge)
        #expect(plan.drift(to: now, tolerance: 0.1)?.contains("ready") == true)
        #expect(plan.drift(to: now, tolerance: 2) == nil)
        let error = await #expect(throws: MigrationError.self) {
            _ = try await world.migrator(plan: plan).apply(World.name)
        }
        #expect(error?.kind == .moved)
        try await queue.declare(world.definition { $0.groups.append(GroupDefinition("new")) })
        #expect(plan.drift(to: try await surveyor.plan(World.name), tolerance: 2) != nil)
    }

    @Test("sides must be those of the beginning")
    func otherSide() async throws {
        let world = try Pair.memoryMemory.world()
        try await world.fill(1)
        _ = try await world.migrator().apply(World.name)
        let other = Migrator(
            journal: try world.journal(),
            from: world.source.side,
            to: MigrationSide(MemoryQueue(), label: "memory:c")
        )
        for body in [other.apply, other.rollback] as [(String) async throws -> Migration] {
            let error = await #expect(throws: MigrationError.self) { _ = try await body(World.name) }
            #expect(error?.kind == .otherSide)
        }
        let error = await #expect(throws: MigrationError.self) { _ = try await other.rollback("nothing") }
        #expect(error?.kind == .notFound)
    }

    @Test("what the target cannot list is told as not provable, not as missing")
    func blind() async throws {
        let world = try World { _ in
            let blind = BlindQueue(MemoryQueue())
            return (.memory("a"), Place(description: "memory:b") { blind })
        }
        try await world.fill(5)
        let migrator = try world.migrator()
        #expect(try await migrator.apply(World.name).state == .quarantine)
        let found = try await migrator.verify(World.name).1
        #expect(found.isSame)
        #expect(found.carried.matched == 5)
        #expect(found.unprovable == 30)
    }

    @Test("a rehearsal copies, compares and leaves nothing behind")
    func shadow() async throws {
        let world = try Pair.sqliteMemory.world()
        let before = try await world.fill(70)
        let shadow = Shadow(from: world.source.side, to: world.target.side)
        let result = try await shadow.rehearse(World.name, accepting: Pair.sqliteMemory.losses)
        #expect(result.isSame)
        #expect(result.matched == before.count)
        #expect(try await world.target.make().queues().isEmpty)
        #expect(Set(try await World.contents(world.source)) == before)
        // A target that changes what it is given is found out.
        let broken = Shadow(
            from: world.source.side,
            to: MigrationSide(BrokenQueue(MemoryQueue()), label: "memory:broken")
        )
        let found = try await broken.rehearse(World.name, accepting: Pair.sqliteMemory.losses)
        #expect(found.different.count == before.count)
    }
}

/// A backend that cannot list what waits or is dead.
private final class BlindQueue: QueueDecorator {
    let base: any MessageQueue

    init(_ base: any MessageQueue) { self.base = base }

    var transfer: (any QueueTransfer)? { base.transfer.map { BlindTransfer(base: $0) } }
}

private struct BlindTransfer: TransferDecorator {
    let base: any QueueTransfer

    func stored(
        in queue: String,
        state: StoredMessage.State,
        group: String?,
        after: String?,
        limit: Int
    ) async throws(QueueError) -> Page<StoredMessage> {
        guard state == .reserved || state == .scheduled else {
            throw QueueError(.unsupported, "listing would disturb it", queue: queue)
        }
        return try await base.stored(in: queue, state: state, group: group, after: after, limit: limit)
    }
}

/// Notes every call that writes.
private final class ReadingQueue: QueueDecorator {
    let base: any MessageQueue
    private let calls = Mutex<[String]>([])

    init(_ base: any MessageQueue) { self.base = base }

    var writes: [String] { calls.withLock { $0 } }
    private func note(_ call: String) { calls.withLock { $0.append(call) } }

    func declare(_ definition: QueueDefinition) async throws(QueueError) {
        note("declare")
        try await base.declare(definition)
    }

    func publish(_ messages: [Message], to queue: String) async throws(QueueError) -> [PublishOutcome] {
        note("publish")
        return try await base.publish(messages, to: queue)
    }

    func consume(
        _ queue: String,
        group: String,
        consumer: String,
        options: ConsumerOptions
    ) async throws(QueueError) -> any QueueConsumer {
        note("consume")
        return try await base.consume(queue, group: group, consumer: consumer, options: options)
    }

    func deleteQueue(_ queue: String) async throws(QueueError) -> Bool {
        note("delete")
        return try await base.deleteQueue(queue)
    }

    var transfer: (any QueueTransfer)? {
        base.transfer.map { ReadingTransfer(base: $0) { [self] in note($0) } }
    }
}

private struct ReadingTransfer: TransferDecorator {
    let base: any QueueTransfer
    let note: @Sendable (String) -> Void

    func setIntake(isOpen: Bool, of queue: String) async throws(QueueError) {
        note("intake")
        try await base.setIntake(isOpen: isOpen, of: queue)
    }

    func reserve(_ ids: [String], of queue: String) async throws(QueueError) -> [String] {
        note("reserve")
        return try await base.reserve(ids, of: queue)
    }

    func restore(_ messages: [StoredMessage], to queue: String) async throws(QueueError) -> [PublishOutcome] {
        note("restore")
        return try await base.restore(messages, to: queue)
    }

    func remember(_ ids: [RememberedID], of queue: String) async throws(QueueError) {
        note("remember")
        try await base.remember(ids, of: queue)
    }
}

/// A backend with fewer features.
private final class PlainQueue: QueueDecorator {
    let base: any MessageQueue

    init(_ base: any MessageQueue) { self.base = base }

    func capabilities() async throws(QueueError) -> Capabilities {
        let inner = try await base.capabilities()
        let missing: Set<Capabilities.Feature> = [.boundedQueue, .replay, .renewal]
        let support = Capabilities.Feature.allCases.map { feature in
            (feature, missing.contains(feature) ? Capabilities.Support.unavailable("it is plain") : inner[feature])
        }
        return Capabilities(
            system: "plain",
            version: "1",
            durability: .memory,
            maxBodyBytes: inner.maxBodyBytes,
            support: Dictionary(uniqueKeysWithValues: support)
        )
    }

    func close() async {}
}

/// A backend that changes bodies.
private final class BrokenQueue: QueueDecorator {
    let base: any MessageQueue

    init(_ base: any MessageQueue) { self.base = base }

    var transfer: (any QueueTransfer)? { base.transfer.map { BrokenTransfer(base: $0) } }
}

private struct BrokenTransfer: TransferDecorator {
    let base: any QueueTransfer

    func restore(_ messages: [StoredMessage], to queue: String) async throws(QueueError) -> [PublishOutcome] {
        try await base.restore(
            messages.map { stored in
                var changed = stored
                changed.message.body.append(0)
                return changed
            },
            to: queue
        )
    }
}

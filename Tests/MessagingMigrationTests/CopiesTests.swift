import Foundation
import GRDB
import Messaging
import MessagingMemory
import Synchronization
import Testing

@testable import MessagingMigration

@Suite("Second copies on a side that knows no ids", .timeLimit(.minutes(5)))
struct CopiesTests {
    /// A client of a broker that never recognises what was written in before.
    private struct ForgetfulQueue: QueueDecorator {
        let base: any MessageQueue
        var transfer: (any QueueTransfer)? { base.transfer.map { ForgetfulTransfer(base: $0) } }
    }

    private struct ForgetfulTransfer: TransferDecorator {
        let base: any QueueTransfer

        func limits() async throws(QueueError) -> TransferLimits { TransferLimits(restoresAgain: "it knows no ids") }

        func restore(_ messages: [StoredMessage], to queue: String) async throws(QueueError) -> [PublishOutcome] {
            let renamed = messages.map { message in
                var message = message
                message.id += ".\(MessageID.make())"
                return message
            }
            return try await base.restore(renamed, to: queue)
        }
    }

    private static let losses = Pair.memoryMemory.losses.union([
        "deduplication", "id-conflict", "schedule-list", "atomic-move", "confirmed-settle",
    ])

    private static func world() throws -> World {
        let target = MemoryQueue()
        return try World { _ in
            (.memory("a"), Place(description: "memory:b") { ForgetfulQueue(base: target.makeClient()) })
        }
    }

    @Test("are named and excused where a crash can have made them", arguments: [1, 2, 3])
    func crash(hit: Int) async throws {
        let world = try Self.world()
        try await world.fill(10)
        let hits = Mutex(0)
        // The first two are what is ready, the others what waits, is scheduled or dead.
        let first = try world.migrator(losses: Self.losses) { migrator in
            migrator.failpoints = Failpoints { point in
                guard point == Failpoint(.restore, .after) else { return }
                if hits.withLock({
                    $0 += 1; return $0
                }) == hit {
                    throw Crash()
                }
            }
        }
        await #expect(throws: Crash.self) { _ = try await first.apply(World.name) }
        let second = try world.migrator(losses: Self.losses)
        #expect(try await second.apply(World.name).state == .quarantine)
        let (_, found) = try await second.verify(World.name)
        #expect(found.mismatches == 0 && found.leftBehind.isEmpty)
        var seen: Set<String> = []
        let copies = try await World.contents(world.target).filter { trace in
            !seen.insert("\(trace.id) \(trace.group ?? "*")").inserted
        }
        #expect(!copies.isEmpty && copies.count <= Mover.window)
        #expect(found.repeated.sorted() == copies.map(\.id).sorted())
    }

    @Test("are a mismatch where no crash has made them")
    func fault() async throws {
        let world = try Self.world()
        try await world.fill(10)
        let migrator = try world.migrator(losses: Self.losses) { $0.fault = .writesTwice }
        let error = await #expect(throws: MigrationError.self) { _ = try await migrator.apply(World.name) }
        #expect(error?.kind == .refused)
        let (migration, found) = try await migrator.verify(World.name)
        #expect(migration.state == .verifying)
        // What is dead and what waits of two groups, what is scheduled, and what is ready.
        #expect(found.repeated.isEmpty)
        #expect(found.carried.duplicate.count == 70)
    }

    @Test("are excused as often as they can have been made and not once more")
    func bound() {
        let found = Verifier.excused(["a", "a", "b", "c"], ["a": 1, "b": 2, "d": 1])
        #expect(found.repeated == ["a", "b"])
        #expect(found.unexcused == ["a", "c"])
    }

    @Test("that an older version has noted stay excused")
    func olderJournal() async throws {
        let world = try Self.world()
        let target = world.target.make()
        try await target.declare(world.definition())
        try await world.source.make().declare(world.definition())
        let migration = world.migration("m")
        let older = try MigrationJournal(path: world.journalPath, creates: true, version: 1)
        try await older.begin(migration)
        let letter = try await Self.dead("twice", in: target)
        try await Self.bury("twice", in: target)
        try await older.write { database in
            try database.execute(
                sql: """
                    INSERT INTO intent (migration, leg, id, kind, group_name, message_id, source_id, hash, state)
                        VALUES (?, 1, 'n', 'dead', 'billing', 'twice', '1', ?, 'removed')
                    """,
                arguments: [migration.id, CanonicalHash(letter.message).description]
            )
        }
        let (_, found) = try await world.migrator(losses: Self.losses).verify(World.name)
        #expect(found.mismatches == 0)
        #expect(found.repeated == ["twice"])
    }

    @Test("that are expected once are not missing once more where a message went over ready and then dead")
    func readyAndDead() async throws {
        let world = try Self.world()
        let target = world.target.make()
        try await target.declare(world.definition())
        try await world.source.make().declare(world.definition())
        let migration = world.migration("m")
        let journal = try world.journal()
        try await journal.begin(migration)
        let letter = try await Self.dead("both", in: target)
        let intents = [StoredMessage.State.ready, .dead].map { state in
            Intent(
                id: "m.1.\(state.rawValue)",
                sourceID: state == .dead ? "1" : "",
                kind: state,
                group: "billing",
                messageID: "both",
                hash: CanonicalHash(letter.message).description,
                state: .removed
            )
        }
        try await journal.intend(intents, of: migration)
        let migrator = try world.migrator(losses: Self.losses)
        let found = try await migrator.verify(World.name).1
        #expect(found.mismatches == 0 && found.carried.matched == 1)
        // One that is gone is missing still.
        _ = try await target.discardDeadLetters([letter.id], of: World.name)
        #expect(try await migrator.verify(World.name).1.carried.missing == ["both"])
    }

    /// Lets a message die in the group `billing`, and returns the dead letter.
    private static func dead(_ id: String, in queue: any MessageQueue) async throws -> DeadLetter {
        try await bury(id, in: queue)
        let page = try await queue.deadLetters(of: World.name, matching: .all, after: nil, limit: 10)
        return try #require(page.elements.first)
    }

    private static func bury(_ id: String, in queue: any MessageQueue) async throws {
        let message = World.message(id)
        let stored = StoredMessage(
            id: "\(MessageID.make())",
            state: .dead,
            group: "billing",
            message: message,
            attempts: 1,
            death: StoredMessage.Death(reason: .rejected, error: "no", failedAt: Date())
        )
        let transfer = try #require(queue.transfer)
        let outcome = try await transfer.restore([stored], to: World.name)[0]
        #expect(outcome.isConfirmed)
    }
}

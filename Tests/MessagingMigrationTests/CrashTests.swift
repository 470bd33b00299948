import Foundation
import Messaging
import Synchronization
import Testing

@testable import MessagingMigration

@Suite("Crashes while a migration is carried out", .timeLimit(.minutes(10)))
struct CrashTests {
    /// Counts how often each failpoint is hit, and ends the run at one of them.
    final class Tripwire: Sendable {
        private let counts = Mutex<[Failpoint: Int]>([:])
        private let point: Failpoint?
        private let hit: Int

        init(_ point: Failpoint? = nil, at hit: Int = 0) {
            self.point = point
            self.hit = hit
        }

        var hits: [Failpoint: Int] { counts.withLock { $0 } }
        var failpoints: Failpoints {
            Failpoints { point in
                let count = self.counts.withLock { counts in
                    counts[point, default: 0] += 1
                    return counts[point]
                }
                if point == self.point, count == self.hit { throw Crash() }
            }
        }
    }

    private static func apply(_ world: World, _ tripwire: Tripwire) async throws {
        let migrator = try world.migrator(losses: Pair.memoryMemory.losses) { $0.failpoints = tripwire.failpoints }
        // A crash at the last effect comes when there is nothing left to be carried out.
        if try await world.journal().latest(World.name)?.state != .finished { _ = try await migrator.apply(World.name) }
        _ = try await migrator.finish(World.name)
    }

    @Test("at the first and the last hit of every failpoint: taken up again, everything is there once")
    func everyFailpoint() async throws {
        let clean = Tripwire()
        try await {
            let world = try Pair.memoryMemory.world()
            let before = try await world.fill(66)
            try await Self.apply(world, clean)
            #expect(try await world.problems(before) == [])
        }()
        var runs = 0
        let hits = clean.hits
        // What only happens when something goes wrong is not hit by a clean run.
        #expect(
            Set(hits.keys.map(\.effect)).isSuperset(of: [
                .begin, .advance, .declare, .open, .remember, .close, .take, .intend, .reserve, .restore, .done,
                .remove,
                .removed, .settle, .forget,
            ])
        )
        let jobs = hits.flatMap { point, count in Set([1, count]).map { (point: point, hit: $0) } }
        // Most of the time goes by in waiting for leases.
        for start in stride(from: 0, to: jobs.count, by: 8) {
            try await withThrowingTaskGroup { group in
                for job in jobs[start..<min(start + 8, jobs.count)] {
                    group.addTask { try await Self.crash(at: job.point, job.hit) }
                }
                for try await problems in group {
                    #expect(problems == [])
                    runs += 1
                }
            }
        }
        print("migration: \(hits.count) failpoints, \(runs) crashes, no message lost or doubled")
    }

    /// Crashes there, takes the migration up again, and returns what is wrong afterwards.
    private static func crash(at point: Failpoint, _ hit: Int) async throws -> [String] {
        var hit = hit
        // How often some points are hit depends on what was waited for: the last hit of one run may be missing in another.
        for _ in 0..<5 {
            let world = try Pair.memoryMemory.world()
            let before = try await world.fill(66)
            let tripwire = Tripwire(point, at: hit)
            do {
                try await apply(world, tripwire)
                hit = try #require(tripwire.hits[point], "\(point) is no longer hit")
            } catch is Crash {
                try await apply(world, Tripwire())
                return try await world.problems(before).map { "\(point) \(hit): \($0)" }
            }
        }
        return ["\(point): hit less often with each run"]
    }

    @Test(
        "a crash, and then the way back instead: everything is there once",
        arguments: [
            Failpoint.Effect.intend, .reserve, .restore, .done, .remove, .removed, .settle, .close, .advance,
        ]
    )
    func thenRollback(effect: Failpoint.Effect) async throws {
        for side in Failpoint.Side.allCases {
            let world = try Pair.memorySQLite.world()
            let before = try await world.fill(70)
            // The intake is closed once.
            let tripwire = Tripwire(Failpoint(effect, side), at: effect == .close ? 1 : 2)
            await #expect(throws: Crash.self) { try await Self.apply(world, tripwire) }
            let migrator = try world.migrator(losses: Pair.memorySQLite.losses)
            _ = try await migrator.rollback(World.name)
            let problems = try await world.problems(before, at: world.source)
            // What was being carried over by consuming it can be there twice; see the bound in docs/migration.md.
            let doubled = problems.filter { $0.contains(" times: ready-") }
            #expect(problems.count == doubled.count, "\(effect) \(side): \(problems.prefix(5))")
            #expect(doubled.count <= 2 * migrator.page)
        }
    }

    @Test("an id that is published until the old side closes is known on the new one, whenever the mover dies")
    func rememberedLate() async throws {
        for (effect, side) in [
            (Failpoint.Effect.close, Failpoint.Side.after), (.remember, .before), (.advance, .before),
        ] {
            let world = try Pair.memoryMemory.world()
            try await world.fill(1)
            let known = World.message("late")
            let isClosing = Mutex(false)
            let hasCrashed = Mutex(false)
            let migrator = try world.migrator(losses: Pair.memoryMemory.losses) { migrator in
                migrator.failpoints = Failpoints { point in
                    // The step is tried again while its gate is shut.
                    if point == Failpoint(.close, .before), !isClosing.withLock({ $0 }) {
                        try await Self.handle(known, at: world.source)
                        isClosing.withLock { $0 = true }
                    }
                    if isClosing.withLock({ $0 }), point == Failpoint(effect, side) {
                        hasCrashed.withLock { $0 = true }
                        throw Crash()
                    }
                }
            }
            await #expect(throws: Crash.self) { _ = try await migrator.apply(World.name) }
            #expect(hasCrashed.withLock { $0 })
            try await Self.apply(world, Tripwire())
            let outcome = try await world.target.make().publish([known], to: World.name)
            guard case .duplicate = outcome[0] else {
                Issue.record("\(effect).\(side): what was published before was \(outcome[0])")
                continue
            }
        }
    }

    /// Publishes a message and handles it for every group.
    private static func handle(_ message: Message, at place: Place) async throws {
        let queue = place.make()
        for outcome in try await queue.publish([message], to: World.name) {
            if let error = outcome.error { throw error }
        }
        for group in World.groups {
            let consumer = try await queue.consume(World.name, group: group, consumer: "handler")
            var isHandled = false
            for _ in 0..<100 where !isHandled {
                let deliveries = try await consumer.receive(max: 10, wait: .seconds(1))
                for delivery in deliveries {
                    let isIt = delivery.message.id == message.id
                    isHandled = isHandled || isIt
                    _ = try await consumer.settle([SettleRequest(delivery.receipt, isIt ? .acknowledge : .release)])
                }
            }
            #expect(isHandled)
            await consumer.close()
        }
        await queue.close()
    }

    @Test("several processes can open a new journal at the same time")
    func openingTogether() async throws {
        for _ in 0..<5 {
            let world = try Pair.memoryMemory.world()
            try await withThrowingTaskGroup { group in
                for _ in 0..<8 { group.addTask { _ = try world.journal() } }
                try await group.waitForAll()
            }
            #expect(try await world.journal().all().isEmpty)
        }
    }

    @Test("two cannot carry out the same migration, and one may after the other's lease")
    func control() async throws {
        let world = try Pair.memoryMemory.world()
        try await world.fill(3)
        let journal = try world.journal()
        await #expect(throws: Crash.self) {
            try await Self.apply(world, Tripwire(Failpoint(.advance, .before), at: 1))
        }
        let migration = try #require(try await journal.latest(World.name))
        let now = Date()
        try await journal.control(migration, by: "other", until: now.addingTimeInterval(60), now: now)
        let error = await #expect(throws: MigrationError.self) {
            _ = try await world.migrator(losses: Pair.memoryMemory.losses).apply(World.name)
        }
        #expect(error?.kind == .busy)
        try await journal.control(migration, by: "other", until: now.addingTimeInterval(-1), now: now)
        #expect(try await world.migrator(losses: Pair.memoryMemory.losses).apply(World.name).state == .quarantine)
    }
}

@Suite("Broken migrations are found", .timeLimit(.minutes(5)))
struct MutantTests {
    /// Runs a migration with a fault, with a crash in between, and returns what is wrong afterwards.
    private static func problems(
        _ fault: Mover.Fault?,
        crashing point: Failpoint?,
        at hit: Int = 2
    ) async throws -> [String] {
        let world = try Pair.memoryMemory.world()
        let before = try await world.fill(70)
        let losses = Pair.memoryMemory.losses
        if let point {
            let first = try world.migrator(losses: losses) { migrator in
                migrator.fault = fault
                migrator.failpoints = CrashTests.Tripwire(point, at: hit).failpoints
            }
            await #expect(throws: Crash.self) { _ = try await first.apply(World.name) }
        }
        // Without a fault nothing is waited for, however long the machine stands still.
        let patience: Duration = fault == nil ? .seconds(20) : .seconds(2)
        let second = try world.migrator(patience: patience, losses: losses) { $0.fault = fault }
        var problems: [String] = []
        do {
            _ = try await second.apply(World.name)
        } catch {
            problems.append("\(error)")
        }
        return problems + (try await world.problems(before))
    }

    @Test("none without a fault", arguments: [nil, Failpoint(.restore, .before), Failpoint(.done, .after)])
    func sound(point: Failpoint?) async throws { #expect(try await Self.problems(nil, crashing: point) == []) }

    @Test("each fault", arguments: Mover.Fault.allCases)
    func faults(fault: Mover.Fault) async throws {
        let crash: Failpoint? =
            switch fault {
            case .removesBeforeConfirming: Failpoint(.restore, .before)
            case .forgetsResuming: Failpoint(.restore, .after)
            default: nil
            }
        // What is ready goes over in the first four batches, what is reserved after them.
        let problems = try await Self.problems(fault, crashing: crash, at: 6)
        if fault == .skipsReserving {
            // Nobody else was there to take what was not reserved; the race is looked for below.
            return try await Self.race()
        }
        if fault == .writesTwice {
            // This side recognises it; one that does not is looked at in `CopiesTests`.
            #expect(problems == [])
            return
        }
        #expect(!problems.isEmpty, "\(fault) was not found")
    }

    /// A dead letter is redriven between being written in on the new side and being removed from the old one.
    private static func race() async throws {
        var results: [Bool] = []
        for fault in [nil, Mover.Fault.skipsReserving] {
            let world = try Pair.memoryMemory.world()
            try await world.fill(3)
            let redriven = Mutex(0)
            let migrator = try world.migrator(losses: Pair.memoryMemory.losses) { migrator in
                migrator.fault = fault
                migrator.failpoints = Failpoints { point in
                    guard point == Failpoint(.done, .before),
                        let migration = try await world.journal().latest(World.name),
                        try await world.journal().intents(of: migration, in: [.intent]).contains(where: {
                            $0.kind == .dead
                        })
                    else { return }
                    let queue = world.source.make()
                    let letters = try await queue.deadLetters(of: World.name, matching: .all, after: nil, limit: 10)
                    let sent = try await queue.redrive(letters.elements.map(\.id), of: World.name)
                    redriven.withLock { $0 += sent.count }
                }
            }
            _ = try? await migrator.apply(World.name)
            results.append(redriven.withLock { $0 } > 0)
        }
        #expect(results == [false, true])
    }

    @Test("gates that are not looked at lose messages of processes that lag behind")
    func gates() async throws {
        for ignores in [false, true] {
            let world = try Pair.memoryMemory.world()
            try await world.source.make().declare(world.definition())
            let journal = try world.journal()
            // Only who looks at the gates has to wait until it loses its patience.
            let patience: Duration = ignores ? .seconds(20) : .seconds(1)
            let migrator = try world.migrator(.drain, patience: patience, losses: Pair.memoryMemory.losses) {
                $0.ignoresGates = ignores
            }
            // A process that is stopped: it has joined and does not see another step.
            let seen = Mutex(false)
            var watched = migrator
            watched.failpoints = Failpoints { point in
                guard point == Failpoint(.begin, .after), !seen.withLock({ $0 }) else { return }
                seen.withLock { $0 = true }
                guard let migration = try await journal.latest(World.name) else { return }
                let until = Date().addingTimeInterval(60)
                try await journal.join(Participant(id: "z", name: "zombie", epoch: 1, expiresAt: until), migration)
            }
            let state: MigrationState?
            do { state = try await watched.apply(World.name).state } catch is MigrationError { state = nil }
            #expect(state == (ignores ? .quarantine : nil))
        }
    }

    @Test("verification that counts instead of comparing")
    func counting() async throws {
        var results: [Int] = []
        for counts in [false, true] {
            let world = try Pair.memoryMemory.world()
            try await world.fill(10)
            let migrator = try world.migrator(losses: Pair.memoryMemory.losses) { $0.comparesCounts = counts }
            _ = try await migrator.apply(World.name)
            // One dead letter goes, and another one comes.
            let queue = world.target.make()
            let letters = try await queue.deadLetters(of: World.name, matching: .all, after: nil, limit: 1).elements
            _ = try await queue.discardDeadLetters(letters.map(\.id), of: World.name)
            _ = try await queue.publish([World.message("instead", due: .after(.seconds(3600)))], to: World.name)
            results.append(try await migrator.verify(World.name).1.mismatches)
        }
        #expect(results[0] == 1)
        #expect(results[1] == 0)
    }
}

import Foundation
import Logging
import Messaging
import MessagingMemory
import MessagingSQLite
import Synchronization

@testable import MessagingMigration

/// A backend of the tests: each call gives a client of the same broker.
struct Place: Sendable, CustomStringConvertible {
    let description: String
    let make: @Sendable () -> any MessageQueue

    static func memory(_ name: String) -> Place {
        let first = MemoryQueue()
        return Place(description: "memory:\(name)") { first.makeClient() }
    }

    static func sqlite(_ folder: URL, _ name: String) -> Place {
        let path = folder.appending(path: "\(name).sqlite").path
        return Place(description: "sqlite:\(path)") {
            SQLiteQueue(
                SQLiteConfiguration(path: path, synchronous: .normal),
                logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }
            )
        }
    }

    var side: MigrationSide { MigrationSide(make(), label: description) }
}

/// What a message is like somewhere, for comparing before and after.
struct Trace: Hashable, CustomStringConvertible {
    let id: String
    let group: String?
    let state: StoredMessage.State
    let hash: String
    let attempts: Int
    let failures: Int
    let due: Date?

    init(_ stored: StoredMessage) {
        id = stored.message.id.rawValue
        group = stored.group
        state = stored.state
        hash = CanonicalHash(stored.message).description
        attempts = stored.attempts
        failures = stored.history.count
        due = stored.due
    }

    var description: String { "\(id) \(group ?? "*") \(state) \(attempts)/\(failures) \(hash)" }
}

/// Two backends, a journal, and a queue on the first one with messages in every state.
final class World: Sendable {
    static let name = "orders"
    static let groups = ["billing", "shipping"]

    let folder: URL
    let source: Place
    let target: Place
    /// Every step is told here.
    let steps = Mutex<[MigrationProgress]>([])

    init(_ make: (URL) -> (Place, Place) = { _ in (.memory("a"), .memory("b")) }) throws {
        folder = FileManager.default.temporaryDirectory.appending(path: "mq-migration-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: false)
        (source, target) = make(folder)
    }

    deinit { try? FileManager.default.removeItem(at: folder) }

    var journalPath: String { folder.appending(path: "migration.sqlite").path }

    func journal() throws -> MigrationJournal { try MigrationJournal(path: journalPath) }

    func migrator(
        _ mode: MigrationMode = .bridge,
        lease: Duration = .milliseconds(30),
        patience: Duration = .seconds(20),
        rate: Int? = nil,
        losses: Set<String> = [],
        plan: MigrationPlan? = nil,
        limits: MigrationLimits = MigrationLimits(),
        sendsCanary: Bool = false,
        clock: QueueClock = .system,
        _ change: (inout Migrator) -> Void = { _ in }
    ) throws -> Migrator {
        var migrator = Migrator(
            journal: try journal(),
            from: source.side,
            to: target.side,
            options: MigrationOptions(
                mode: mode,
                acceptedLosses: losses,
                plan: plan,
                rate: rate,
                lease: lease,
                patience: patience,
                limits: limits,
                // Half a second that only its own tests have.
                sendsCanary: sendsCanary
            ),
            clock: clock,
            report: { progress in self.steps.withLock { $0.append(progress) } }
        )
        // Several pages of the few messages that a test has time for.
        migrator.page = 64
        change(&migrator)
        return migrator
    }

    /// A migration between the two, for tests that write it into the journal themselves.
    func migration(_ id: String, lease: Duration = .milliseconds(30), at date: Date = Date()) -> Migration {
        Migration(
            id: id,
            queue: Self.name,
            source: source.description,
            target: target.description,
            mode: .bridge,
            isOrdered: false,
            lease: lease,
            date: date
        )
    }

    /// A client that follows migrations.
    func follower(
        _ home: Place? = nil,
        _ name: String = "p",
        lease: Duration = .milliseconds(150)
    ) -> MigratingQueue {
        let places = [source, target]
        return MigratingQueue(
            (home ?? source).side,
            journal: journalPath,
            lease: lease,
            name: name,
            logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }
        ) { label in
            guard let place = places.first(where: { $0.description == label }) else {
                throw QueueError(.notFound, "no place is \(label)")
            }
            return place.make()
        }
    }

    func definition(_ change: (inout QueueDefinition) -> Void = { _ in }) -> QueueDefinition {
        var definition = QueueDefinition(
            Self.name,
            groups: Self.groups.map { GroupDefinition($0, lease: .seconds(5), maxAttempts: 20) }
        )
        change(&definition)
        return definition
    }

    /// Puts so many messages into each state that can be moved: ready, retry, scheduled and dead.
    ///
    /// - Returns: What there is then.
    @discardableResult
    func fill(_ count: Int, _ change: (inout QueueDefinition) -> Void = { _ in }) async throws -> Set<Trace> {
        let queue = source.make()
        try await queue.declare(definition(change))
        for state in ["dead", "waiting", "ready"] {
            let messages = (0..<count).map { Self.message("\(state)-\($0)") }
            for outcome in try await queue.publish(messages, to: Self.name) {
                if let error = outcome.error { throw error }
            }
            guard state != "ready" else { break }
            for group in Self.groups {
                let consumer = try await queue.consume(Self.name, group: group, consumer: "filler")
                var left = count
                while left > 0 {
                    let deliveries = try await consumer.receive(max: min(500, left), wait: .seconds(5))
                    guard !deliveries.isEmpty else { throw QueueError(.unavailable, "nothing came while filling") }
                    left -= deliveries.count
                    let settlement: Settlement =
                        state == "dead"
                        ? .reject(reason: .rejected, error: "no") : .retry(after: .seconds(3600), error: "later")
                    _ = try await consumer.settle(deliveries.map { SettleRequest($0.receipt, settlement) })
                }
                await consumer.close()
            }
        }
        let later = (0..<count).map { Self.message("scheduled-\($0)", due: .after(.seconds(3600))) }
        for outcome in try await queue.publish(later, to: Self.name) { if let error = outcome.error { throw error } }
        await queue.close()
        return Set(try await Self.contents(source))
    }

    static func message(_ text: String, due: Message.Due? = nil) -> Message {
        Message(
            body: Array(text.utf8) + [0, 255],
            id: MessageID(text),
            key: "key-\(text)",
            headers: ["colour": "blue", "text": text],
            contentType: "application/x-\(text)",
            due: due
        )
    }

    /// Everything that a side holds.
    static func contents(_ place: Place) async throws -> [Trace] {
        let side = place.side
        var found: [Trace] = []
        guard let definition = try await side.existing(name) else { return [] }
        for (state, group) in MigrationSide.places(definition.groups.map(\.name)) + [(.reserved, nil)] {
            var pages = try side.pages(state, of: name, group: group)
            while let page = try await pages.next() { found += page.map(Trace.init) }
        }
        await side.queue.close()
        return found
    }

    /// What is wrong with what is on the target, if it should be what was on the source; empty when nothing is.
    func problems(_ before: Set<Trace>, at place: Place? = nil) async throws -> [String] {
        let here = place ?? target
        let there = here.description == target.description ? source : target
        let after = try await Self.contents(here)
        var problems: [String] = []
        let left = try await Self.contents(there)
        if !left.isEmpty { problems.append("\(left.count) left behind: \(left.prefix(3))") }
        let places = Dictionary(grouping: after) { "\($0.id) \($0.group ?? "*")" }
        for trace in before {
            let name = "\(trace.id) \(trace.group ?? "*")"
            guard let found = places[name] else {
                problems.append("missing: \(trace)")
                continue
            }
            if found.count > 1 { problems.append("\(found.count) times: \(trace)") }
            guard let one = found.first else { continue }
            if one.state != trace.state { problems.append("\(trace) is \(one.state)") }
            if one.hash != trace.hash { problems.append("another content: \(trace)") }
            if one.attempts < trace.attempts || one.failures < trace.failures {
                problems.append("\(trace) has \(one.attempts)/\(one.failures)")
            }
            if let due = trace.due, (one.due ?? .distantPast) < due.addingTimeInterval(-0.01) {
                problems.append("too early: \(trace)")
            }
        }
        let known = Set(before.map { "\($0.id) \($0.group ?? "*")" })
        for (name, found) in places where !known.contains(name) { problems.append("extra: \(found)") }
        return problems
    }
}

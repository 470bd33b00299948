#if SQLite
import Logging
import Messaging
import Synchronization

#if canImport(FoundationEssentials)
import FoundationEssentials
#else
import Foundation
#endif

/// A backend whose queues may move to others while it is used: publishes where each message belongs, reads both sides.
///
/// It looks into the journal at least once in a lease, and publishes nothing when it cannot. A queue that does not move
/// costs it a look now and then, and nothing while there is no journal.
public final class MigratingQueue: QueueDecorator {
    /// The backend that the process was configured with.
    public var base: any MessageQueue { home.queue }

    private let home: MigrationSide
    let sides: MigrationSides
    private let access: JournalAccess
    private let participant: Participant
    private let clock: QueueClock
    private let logger: Logger
    private let state = Mutex(State())

    private struct State {
        var followers: [String: MigrationFollower] = [:]
        var watch: Task<Void, Never>?
        var isClosed = false
    }

    /// Creates a queue that follows migrations.
    ///
    /// - Parameters:
    ///   - home: The backend that the process was configured with.
    ///   - journal: Where the journal is or will be.
    ///   - lease: How long to go without looking into it.
    ///   - name: What a person knows this process by.
    ///   - clock: The time.
    ///   - logger: Where it reports that a queue moves.
    ///   - open: Opens another backend from its name without credentials.
    public init(
        _ home: MigrationSide,
        journal: String,
        lease: Duration = .seconds(10),
        name: String,
        clock: QueueClock = .system,
        logger: Logger,
        opening open: @escaping @Sendable (String) throws -> any MessageQueue
    ) {
        self.home = home
        self.clock = clock
        self.logger = logger
        sides = MigrationSides(home: home, open: open)
        access = JournalAccess(path: journal, lease: lease)
        participant = Participant(id: MessageID.make().rawValue, name: name, epoch: 0, expiresAt: .distantPast)
    }

    deinit { state.withLock { $0.watch }?.cancel() }

    // MARK: - Following

    private func follower(_ queue: String) throws(QueueError) -> MigrationFollower {
        let (follower, starts) = state.withLock { state -> (MigrationFollower?, Bool) in
            if state.isClosed { return (nil, false) }
            if let known = state.followers[queue] { return (known, false) }
            let made = MigrationFollower(
                queue: queue,
                home: home.label,
                access: access,
                participant: participant,
                clock: clock,
                logger: logger
            )
            state.followers[queue] = made
            return (made, state.watch == nil)
        }
        guard let follower else { throw QueueError(.closed, "the \(system) client was closed", queue: queue) }
        if starts { watch() }
        return follower
    }

    private func watch() {
        let pause = access.lease / 3
        let task = Task { [weak self, clock, logger] in
            while !Task.isCancelled {
                do { try await clock.sleep(for: pause) } catch { return }
                guard let followers = self?.state.withLock({ Array($0.followers.values) }) else { return }
                for follower in followers {
                    do {
                        try await follower.refresh()
                    } catch {
                        // Publishing looks again itself, and is refused when that fails.
                        logger.warning("the journal of migrations cannot be read", metadata: ["error": "\(error)"])
                    }
                }
            }
        }
        state.withLock { state in
            if state.isClosed || state.watch != nil { task.cancel() } else { state.watch = task }
        }
    }

    func migration(of queue: String) async throws(QueueError) -> Migration? {
        let follower = try follower(queue)
        do { return try await follower.current() } catch { throw Self.failure(error, queue) }
    }

    private static func failure(_ error: any Error, _ queue: String) -> QueueError {
        if let error = error as? QueueError { return error }
        return QueueError(
            .unavailable,
            "whether the queue moves cannot be found out: \(error)",
            queue: queue,
            underlying: error
        )
    }
}

// The contract of each member stands in `MessageQueue`; here is only where it goes.
// swift-format-ignore: AllPublicDeclarationsHaveDocumentation
extension MigratingQueue {
    public func declare(_ definition: QueueDefinition) async throws(QueueError) {
        guard let migration = try await migration(of: definition.name) else {
            return try await base.declare(definition)
        }
        for label in migration.isLive ? [migration.from, migration.to] : [migration.to] {
            let side = try sides.queue(label)
            var mapped = Planner.mapped(definition, on: try await side.capabilities())
            mapped.groups = definition.groups
            // The new side gets its queue from the migration; nobody is to be ahead of it.
            if migration.state == .preparing, label == migration.to { continue }
            try await side.declare(mapped)
        }
    }

    public func definition(of queue: String) async throws(QueueError) -> QueueDefinition? {
        guard let migration = try await migration(of: queue) else { return try await base.definition(of: queue) }
        return try await sides.queue(migration.isLive ? migration.from : migration.to).definition(of: queue)
    }

    public func deleteQueue(_ queue: String) async throws(QueueError) -> Bool {
        guard let migration = try await migration(of: queue) else { return try await base.deleteQueue(queue) }
        guard !migration.isLive else {
            throw QueueError(
                .topologyConflict,
                "the queue is moving to \(migration.to); finish that or take it back before it is deleted",
                queue: queue
            )
        }
        return try await sides.queue(migration.to).deleteQueue(queue)
    }

    public func consume(
        _ queue: String,
        group: String,
        consumer: String,
        options: ConsumerOptions
    ) async throws(QueueError) -> any QueueConsumer {
        let follower = try follower(queue)
        let made = MigratingConsumer(
            queue: queue,
            group: group,
            name: consumer,
            options: options,
            home: home.label,
            sides: sides,
            slice: access.lease / 3,
            clock: clock
        )
        let failure: QueueError
        do {
            try await follower.add(made)
            return made
        } catch {
            failure = Self.failure(error, queue)
        }
        await made.close()
        throw failure
    }

    public func close() async {
        let (watch, followers) = state.withLock { state in
            state.isClosed = true
            defer { state.followers = [:] }
            return (state.watch, state.followers)
        }
        watch?.cancel()
        if !followers.isEmpty, let journal = access.journal {
            // What is not taken back runs out with its lease.
            for follower in followers.values { try? await follower.leave() }
            try? await journal.leave(participant.id)
        }
        await base.close()
        await sides.close()
    }
}

// MARK: - Publishing

// swift-format-ignore: AllPublicDeclarationsHaveDocumentation
extension MigratingQueue {
    /// How often messages that the old side no longer takes are tried on the new one.
    private static let turns = 3

    public func publish(_ messages: [Message], to queue: String) async throws(QueueError) -> [PublishOutcome] {
        let follower = try follower(queue)
        var outcomes = [PublishOutcome?](repeating: nil, count: messages.count)
        var open = Array(messages.indices)
        var seen: Int?
        for turn in 0..<Self.turns {
            let pin: MigrationFollower.Pin
            do { pin = try await follower.begin() } catch { throw Self.failure(error, queue) }
            guard let migration = pin.migration else {
                // A queue does not stop having moved.
                if turn > 0 {
                    await follower.end(pin)
                    break
                }
                let failure: QueueError?
                do throws(QueueError) {
                    outcomes = try await base.publish(messages, to: queue)
                    failure = nil
                } catch {
                    failure = error
                }
                await follower.end(pin)
                // Nothing has been published yet.
                if let failure { throw failure }
                open = Self.closed(open, outcomes)
                if open.isEmpty { break }
                // It may have begun to move, and closed, while this was on its way.
                do { try await follower.refreshAnew() } catch { break }
                continue
            }
            if migration.epoch == seen { break }
            seen = migration.epoch
            let isFirst = turn == 0
            var count = PublicationCount()
            let failure = await publish(open, of: messages, to: queue, migration, follower, &outcomes, &count)
            await follower.end(pin, count)
            if let failure, isFirst, outcomes.allSatisfy({ $0 == nil }) { throw failure }
            open = Self.closed(open, outcomes)
            if open.isEmpty { break }
            // The old side has closed since we looked; what it refused is certainly not there.
            do { try await follower.refreshAnew() } catch { break }
        }
        return outcomes.map { $0 ?? .refused(QueueError(.unavailable, "it was not published", queue: queue)) }
    }

    /// Which messages a side did not take because it is closed.
    private static func closed(_ indices: [Int], _ outcomes: [PublishOutcome?]) -> [Int] {
        indices.filter { index in
            guard case .refused(let error)? = outcomes[index] else { return false }
            return error.code == .queueClosed
        }
    }

    /// Publishes messages on their sides, and counts what became of those for the side that the queue goes to; returns the
    /// error of a side that could not be used at all.
    private func publish(
        _ indices: [Int],
        of messages: [Message],
        to queue: String,
        _ migration: Migration,
        _ follower: MigrationFollower,
        _ outcomes: inout [PublishOutcome?],
        _ count: inout PublicationCount
    ) async -> QueueError? {
        let pinned = await follower.pinnedSides(messages)
        var parts: [(label: String, indices: [Int])] = []
        for index in indices {
            let message = messages[index]
            let label = pinned[message.id] ?? migration.place(of: message)
            if let part = parts.firstIndex(where: { $0.label == label }) {
                parts[part].indices.append(index)
            } else {
                parts.append((label, [index]))
            }
        }
        var failure: QueueError?
        var hasAnswer = false
        for (label, indices) in parts {
            do throws(QueueError) {
                let answers = try await sides.queue(label).publish(indices.map { messages[$0] }, to: queue)
                hasAnswer = true
                if label == migration.to { count = PublicationTally.count(answers) }
                var settled: [MessageID] = []
                for (index, answer) in zip(indices, answers) {
                    outcomes[index] = answer
                    if case .indeterminate = answer {
                        await follower.pin(messages[index].id, to: label)
                    } else {
                        settled.append(messages[index].id)
                    }
                }
                await follower.unpin(settled)
            } catch {
                failure = error
                if label == migration.to, error.code != .cancelled, error.code != .closed {
                    count = PublicationCount(attempted: indices.count, failed: indices.count)
                }
                for index in indices where hasAnswer || parts.count > 1 { outcomes[index] = .refused(error) }
            }
        }
        if !hasAnswer, failure != nil { for index in indices { outcomes[index] = nil } }
        return failure
    }
}
#endif

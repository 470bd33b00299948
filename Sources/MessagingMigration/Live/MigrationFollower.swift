#if SQLite
import Logging
import Messaging

#if canImport(FoundationEssentials)
import FoundationEssentials
#else
import Foundation
#endif

/// What a process knows of the migration of one queue, never for longer than the lease without looking again.
actor MigrationFollower {
    /// What a publication was begun with; given back when nothing of it is on its way any more.
    struct Pin: Sendable {
        let number: Int
        let migration: Migration?
    }

    /// A consumer that is not kept when nobody has it any more.
    private struct Member { weak var consumer: MigratingConsumer? }

    nonisolated let queue: String
    private let home: String
    private let access: JournalAccess
    private let participant: Participant
    private let clock: QueueClock
    private let logger: Logger

    private var migration: Migration?
    /// Grows with every change of `migration`.
    private var generation = 0
    private var tally: PublicationTally
    private var checkedAt: Duration?
    private var refreshing: Task<Void, any Error>?
    private var publications: [Int: Int] = [:]
    private var members: [Member] = []
    private var pinned: [MessageID: String] = [:]
    private var pinOrder: [MessageID] = []
    /// The most ids whose fate is unknown that are remembered; the oldest goes first.
    private static let mostPinned = 10_000

    init(
        queue: String,
        home: String,
        access: JournalAccess,
        participant: Participant,
        clock: QueueClock,
        logger: Logger
    ) {
        self.queue = queue
        self.home = home
        self.access = access
        self.participant = participant
        self.clock = clock
        self.logger = logger
        tally = PublicationTally(window: access.lease)
    }

    // MARK: - Looking

    /// The migration as it is known; looks again when that was too long ago.
    func current() async throws -> Migration? {
        // The rest of the lease is for what is on its way.
        if let checkedAt, clock.now() - checkedAt < access.lease * 4 / 5 { return migration }
        try await refresh()
        return migration
    }

    /// Looks into the journal, lets the consumers follow, and writes down that this process does.
    func refresh() async throws {
        if let refreshing { return try await refreshing.value }
        let task = Task {
            // Before anybody who waits for it goes on: whoever needs a later look must not meet this one again.
            defer { refreshing = nil }
            try await look()
        }
        refreshing = task
        try await task.value
    }

    /// Looks by a look that begins now or later: one that is under way may have read what was true before.
    func refreshAnew() async throws {
        _ = await refreshing?.result
        // All who have waited for the same one share the next.
        try await refresh()
    }

    private func look() async throws {
        let began = clock.now()
        guard let journal = try access.open() else {
            guard migration == nil else {
                throw QueueError(
                    .unavailable,
                    "the journal of migrations '\(access.path)' is gone while '\(queue)' moves; bring it back",
                    queue: queue
                )
            }
            checkedAt = began
            return
        }
        let found = try await journal.latest(queue, involving: home)
        // An older state can be read by nobody but a clock that stands still; it is never followed.
        if let found, found.id != migration?.id || found.epoch > migration?.epoch ?? 0 {
            migration = found
            generation += 1
            logger.info(
                "a queue moves",
                metadata: ["queue": "\(queue)", "state": "\(found.state.rawValue)", "percent": "\(found.percent)"]
            )
        }
        checkedAt = began
        guard let migration else { return }
        let isFollowed = await adopt(migration)
        guard migration.isLive else { return }
        let isClean = publications.keys.allSatisfy { $0 >= generation }
        var row = participant
        row.epoch = isFollowed && isClean ? migration.epoch : migration.epoch - 1
        row.lately = tally.lately(to: migration.to, at: clock.now())
        row.expiresAt = clock.date().addingTimeInterval(access.lease / .seconds(1))
        try await journal.join(row, migration)
    }

    /// Writes down what became of the last publications, when that is not good; whoever fails and ends at once must not go
    /// unheard.
    func leave() async throws {
        guard let migration, migration.isLive, let journal = access.journal else { return }
        var row = participant
        row.lately = tally.lately(to: migration.to, at: clock.now())
        guard row.lately.failed > 0 else { return }
        (row.epoch, row.hasLeft) = (migration.epoch, true)
        row.expiresAt = clock.date().addingTimeInterval(access.lease / .seconds(1))
        try await journal.join(row, migration)
    }

    private func adopt(_ migration: Migration) async -> Bool {
        members.removeAll { $0.consumer?.isClosed ?? true }
        var isFollowed = true
        for member in members {
            guard let consumer = member.consumer else { continue }
            do {
                try await consumer.adopt(migration)
            } catch {
                // One that is closed meanwhile holds nobody up.
                if consumer.isClosed { continue }
                isFollowed = false
                logger.warning(
                    "a consumer cannot read both sides of a queue that moves",
                    metadata: ["queue": "\(queue)", "error": "\(error)"]
                )
            }
        }
        return isFollowed
    }

    // MARK: - Consumers

    func add(_ consumer: MigratingConsumer) async throws {
        let migration = try await current()
        members.append(Member(consumer: consumer))
        try await consumer.adopt(migration)
    }

    // MARK: - Publications

    func begin() async throws -> Pin {
        let migration = try await current()
        publications[generation, default: 0] += 1
        return Pin(number: generation, migration: migration)
    }

    /// Ends a publication, of which so much went to the side that the queue goes to.
    func end(_ pin: Pin, _ count: PublicationCount = PublicationCount()) {
        if let side = pin.migration?.to, count.attempted > 0 { tally.add(count, to: side, at: clock.now()) }
        let left = (publications[pin.number] ?? 1) - 1
        publications[pin.number] = left > 0 ? left : nil
    }

    /// The sides to which messages must be published again, because nobody knows whether they arrived there.
    func pinnedSides(_ messages: [Message]) -> [MessageID: String] {
        pinned.isEmpty ? [:] : messages.reduce(into: [:]) { $0[$1.id] = pinned[$1.id] }
    }

    func pin(_ id: MessageID, to side: String) {
        if pinned.updateValue(side, forKey: id) == nil { pinOrder.append(id) }
        while pinned.count > Self.mostPinned, !pinOrder.isEmpty { pinned[pinOrder.removeFirst()] = nil }
        if pinOrder.count > Self.mostPinned * 2 { pinOrder.removeAll { pinned[$0] == nil } }
    }

    func unpin(_ ids: [MessageID]) {
        guard !pinned.isEmpty else { return }
        for id in ids { pinned[id] = nil }
    }
}

/// The journal of a process that follows migrations; it is opened when it is there.
final class JournalAccess: Sendable {
    let path: String
    let lease: Duration
    private let opened = Once<MigrationJournal>()

    init(path: String, lease: Duration) {
        self.path = path
        self.lease = lease
    }

    /// Returns the journal; `nil` while there is none.
    func open() throws -> MigrationJournal? {
        guard MigrationJournal.exists(at: path) else { return nil }
        return try opened.value { try MigrationJournal(path: path, creates: false) }
    }

    var journal: MigrationJournal? { opened.current }
}
#endif

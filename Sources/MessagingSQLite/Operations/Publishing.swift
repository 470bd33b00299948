#if SQLite
import Messaging

/// A message that may be published, with what was computed before the transaction.
struct Publication: Sendable {
    let message: Message
    /// Tells a repeated id from a reused one; stays in the file.
    let digest: Int64
    let headers: [UInt8]?

    init(_ message: Message) {
        self.message = message
        digest = Int64(bitPattern: BodyDigest.of(message.body))
        headers = HeaderCoding.encode(message.headers)
    }
}

extension Transaction {
    /// Adds messages to a queue; the outcomes are in their order.
    func publish(_ publications: [Publication], to name: String) throws -> [PublishOutcome] {
        let queue = try queue(name)
        try catchUp(queue)
        var batch = try PublishBatch(queue, self)
        var outcomes: [PublishOutcome] = []
        outcomes.reserveCapacity(publications.count)
        for publication in publications { outcomes.append(try batch.add(publication)) }
        try batch.finish()
        return outcomes
    }
}

/// The messages that one call adds to a queue.
private struct PublishBatch {
    private let queue: QueueInfo
    private let transaction: Transaction
    private let insertMessage: Prepared
    private let insertSeen: Prepared
    private let start: Int64
    private var next: Int64
    private var scheduled = 0
    /// How many more may be ready.
    private var room: Int

    init(_ queue: QueueInfo, _ transaction: Transaction) throws {
        self.queue = queue
        self.transaction = transaction
        insertMessage = try transaction.prepared(queue.sql.insertMessage)
        insertSeen = try transaction.prepared(queue.sql.insertSeen)
        start = try transaction.nextPosition(of: queue)
        next = start
        room = try queue.maxReady.map { bound in bound - (try transaction.readyForSlowest(of: queue)) } ?? .max
    }

    mutating func add(_ publication: Publication) throws -> PublishOutcome {
        let message = publication.message
        let due = dueTime(of: message)
        let isLater = due.map { $0 > transaction.now } ?? false
        // Even when there is no room, an id that is known is a duplicate.
        if !isLater, room <= 0 {
            if let known = try known(publication) { return known }
            return .refused(
                QueueError(
                    .queueFull,
                    "the queue has reached its bound of \(queue.maxReady ?? 0)",
                    queue: queue.name
                )
            )
        }
        if queue.isClosed {
            if let known = try known(publication) { return known }
            return .refused(QueueError(.queueClosed, "the queue is closed for publications", queue: queue.name))
        }
        if queue.dedupeWindow > 0 {
            let isNew = try insertSeen.run(
                .text(message.id.rawValue),
                .integer(publication.digest),
                .integer(transaction.now)
            )
            if isNew == 0 {
                if let known = try known(publication) { return known }
                // Its window has passed.
                try transaction.prepared(queue.sql.replaceSeen)
                    .run(.text(message.id.rawValue), .integer(publication.digest), .integer(transaction.now))
            }
        }
        if isLater, let due {
            try transaction.prepared(
                """
                INSERT INTO mq_scheduled (queue_id, due, id, body, key, content_type, headers, published_at)
                VALUES (?, ?, ?, ?, ?, ?, ?, ?)
                """
            ).run(
                .integer(queue.id),
                .integer(due),
                .text(message.id.rawValue),
                .bytes(message.body),
                .optional(message.key),
                .optional(message.contentType),
                .optional(publication.headers),
                .integer(transaction.now)
            )
            scheduled += 1
            return .accepted
        }
        try insertMessage.run(
            .integer(next),
            .optional(due),
            .text(message.id.rawValue),
            .bytes(message.body),
            .optional(message.key),
            .optional(message.contentType),
            .optional(publication.headers),
            .integer(transaction.now)
        )
        next += 1
        room -= 1
        return .accepted
    }

    /// The outcome for an id that was published within the window; `nil` when it was not.
    private func known(_ publication: Publication) throws -> PublishOutcome? {
        let id = publication.message.id
        guard queue.dedupeWindow > 0 else { return nil }
        let seen = try transaction.prepared(queue.sql.selectSeen)
            .first(.text(id.rawValue)) { (digest: $0.optionalInteger(0), at: $0.integer(1)) }
        guard let seen, Saturating.sum(seen.at, queue.dedupeWindow) > transaction.now else { return nil }
        // What another program published has no digest.
        guard let digest = seen.digest, digest != publication.digest else { return .duplicate }
        return .refused(
            QueueError(.idConflict, "the id '\(id)' was published before with another body", queue: queue.name)
        )
    }

    private func dueTime(of message: Message) -> Int64? {
        switch message.due {
        case nil: nil
        case .after(let delay): delay > .zero ? transaction.after(delay.milliseconds) : transaction.now
        case .at(let date): FileTime.future(date)
        }
    }

    func finish() throws {
        if next > start {
            transaction.noteStored(Int(next - start), queue)
            transaction.writer.published += Int(next - start)
            try transaction.setNextPosition(next, of: queue)
        }
        if next > start || scheduled > 0 { transaction.wake(queue) }
    }
}

extension Transaction {
    /// Carries out what time alone has brought and nobody has looked for, as far as publishing depends on it.
    ///
    /// What is due comes before what is published now: behind one key that is an order that was promised. With a bound,
    /// what is available again fills it.
    private func catchUp(_ queue: QueueInfo) throws {
        while let due = try promote(queue), due <= now, queue.isKeyed {}
        guard queue.maxReady != nil else { return }
        for group in queue.groups { _ = try expire(group, of: queue) }
    }

    /// The position that the next message of a queue gets.
    func nextPosition(of queue: QueueInfo) throws -> Int64 {
        try prepared("SELECT next_seq FROM mq_queue WHERE id = ?").first(.integer(queue.id)) { $0.integer(0) } ?? 1
    }

    func setNextPosition(_ position: Int64, of queue: QueueInfo) throws {
        try prepared("UPDATE mq_queue SET next_seq = ? WHERE id = ?").run(.integer(position), .integer(queue.id))
    }

    /// How many messages wait only for somebody to take them, in the group that has most.
    func readyForSlowest(of queue: QueueInfo) throws -> Int {
        let perGroup = try prepared(
            """
            SELECT max(
                (SELECT next_seq - 1 FROM mq_queue WHERE id = ?1) - g.cursor
                + (SELECT count(*) FROM mq_waiting w WHERE w.group_id = g.id AND w.due <= ?2)
                + (SELECT count(*) FROM mq_held h WHERE h.group_id = g.id))
            FROM mq_group g WHERE g.queue_id = ?1
            """
        ).first(.integer(queue.id), .integer(now)) { $0.optionalInteger(0) }
        if let count = perGroup ?? nil { return Int(clamping: count) }
        let stored =
            try prepared("SELECT stored FROM mq_queue WHERE id = ?")
            .first(.integer(queue.id)) { Int(clamping: $0.integer(0)) } ?? 0
        return stored + notedStored(queue)
    }
}

/// Sums that stop at the largest number instead of trapping: times come from outside.
enum Saturating {
    static func sum(_ left: Int64, _ right: Int64) -> Int64 {
        let (sum, overflow) = left.addingReportingOverflow(right)
        return overflow ? (right > 0 ? .max : .min) : sum
    }
}
#endif

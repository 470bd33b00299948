#if Kafka
import Messaging

/// What moving a queue means on Kafka, without I/O.
enum TransferPlan {
    static let restoresAgain = "a log is not searched for an id; what another client wrote in is not recognised"

    static let limits = TransferLimits(restoresAgain: restoresAgain, pushes: true)

    // MARK: - What is stored

    /// A record as it is listed.
    ///
    /// - Parameters:
    ///   - record: The record.
    ///   - place: Where it is.
    ///   - state: Where in its life it is.
    ///   - queue: The queue.
    ///   - ended: Deliveries that ended without a result and are not in the record.
    /// - Returns: The message; of a record that is none, what could be read.
    static func stored(
        _ record: KafkaRecord,
        _ place: StoredPlace,
        _ state: StoredMessage.State,
        queue: String,
        ended: Int = 0
    ) -> StoredMessage {
        let envelope = Self.envelope(record, place.place(in: queue).topic)
        var message = envelope.message
        // That there was no body at all is Kafka's own; elsewhere it is an empty one.
        message.headers.set(Envelope.tombstone, nil as [UInt8]?)
        let isLater = state == .waiting || state == .scheduled
        return StoredMessage(
            id: place.id,
            state: state,
            group: state == .dead ? envelope.group : place.group,
            message: message,
            due: isLater ? UnixTime.date(due(envelope, place.topic)) : nil,
            attempts: envelope.attempts + ended,
            redrives: envelope.redrives,
            history: envelope.history,
            publishedAt: envelope.published.map(UnixTime.date),
            death: state == .dead
                ? StoredMessage.Death(
                    reason: envelope.reason.map { DeadLetterReason(rawValue: $0) } ?? .rejected,
                    error: envelope.error,
                    failedAt: (envelope.failedAt ?? record.timestamp).map(UnixTime.date)
                ) : nil
        )
    }

    private static func envelope(_ record: KafkaRecord, _ topic: String) -> Envelope {
        do throws(Envelope.Problem) {
            return try Envelope(record, topic: KafkaNames.decoded(topic))
        } catch {
            return error.envelope
        }
    }

    /// When what waits is due, in milliseconds since 1970.
    static func due(_ record: KafkaRecord, _ place: StoredPlace, queue: String) -> Int64 {
        due(envelope(record, place.place(in: queue).topic), place.topic)
    }

    private static func due(_ envelope: Envelope, _ topic: StoredPlace.Topic) -> Int64 {
        (topic == .delayed ? envelope.again : nil) ?? envelope.due ?? 0
    }

    // MARK: - Writing in

    /// Why a message cannot be written in; `nil` when it can.
    static func problem(
        _ stored: StoredMessage,
        maxBodyBytes: Int,
        queue: String,
        groups: Set<String>
    ) -> QueueError? {
        KafkaQueue.problem(stored.message, maxBodyBytes: maxBodyBytes, queue: queue)
            ?? stored.groupProblem(among: groups, queue: queue)
    }

    /// The record of a message with the state that it had elsewhere.
    ///
    /// - Parameters:
    ///   - stored: The message.
    ///   - queue: The queue.
    ///   - partitions: How many partitions it has.
    ///   - spread: Where a message without a key goes.
    ///   - now: The time, in milliseconds since 1970.
    /// - Returns: The record and its place.
    static func order(
        _ stored: StoredMessage,
        queue: String,
        partitions: Int,
        spread: Int,
        now: Int64
    ) -> KafkaPublisher.Order {
        var envelope = Envelope(stored.message, due: nil)
        // The time at which it was to come first is told to the handler, and stays.
        if case .at(let date)? = stored.message.due { envelope.due = UnixTime.milliseconds(date) }
        envelope.attempts = max(0, stored.attempts)
        envelope.redrives = max(0, stored.redrives)
        envelope.history = stored.history.suffix(Failure.maxHistory)
        envelope.published = stored.publishedAt.map { UnixTime.milliseconds($0) }
        let due = stored.due.map { min(UnixTime.milliseconds($0), now + DelayLevels.longest) }
        let lane =
            stored.message.key.map { Lanes.partition(of: $0.utf8, among: partitions) }
            ?? Int32(truncatingIfNeeded: spread % max(1, partitions))
        let place: StoredPlace
        if stored.isDead {
            envelope.group = stored.group
            envelope.reason = (stored.death?.reason ?? .rejected).rawValue
            envelope.error = stored.death?.error.map(Failure.shortened)
            envelope.failedAt = stored.death?.failedAt.map { UnixTime.milliseconds($0) } ?? now
            place = StoredPlace(.dead, 0, 0)
        } else if let group = stored.group {
            if let due, due > now {
                envelope.again = due
                place = StoredPlace(.delayed, Int32(DelayLevels.level(for: due - now)), 0, group: group)
            } else {
                place = StoredPlace(.retry, lane, 0, group: group)
            }
        } else {
            envelope.attempts = 0
            if let due { envelope.due = due }
            if let due, due > now {
                place = StoredPlace(.scheduled, Int32(DelayLevels.level(for: due - now)), 0)
            } else {
                // Every group gets it, as it would have when it was due.
                place = StoredPlace(.main, lane, 0)
            }
        }
        return KafkaPublisher.Order(place: place.place(in: queue), payload: envelope.payload)
    }
}

/// Which messages this client has written in, so that it does not do it twice.
struct RestoredIDs: Sendable {
    /// As many are remembered.
    static let most = 1_000_000

    private var known: [String: Set<String>] = [:]

    func isKnown(_ id: String, of queue: String) -> Bool { known[queue]?.contains(id) ?? false }

    mutating func note(_ id: String, of queue: String) {
        if known[queue]?.count ?? 0 < Self.most { known[queue, default: []].insert(id) }
    }

    mutating func forget(_ queue: String) { known[queue] = nil }
}
#endif

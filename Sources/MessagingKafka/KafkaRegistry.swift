#if Kafka
import Foundation
import Messaging
import Synchronization

/// The settings of all queues, in one topic that every client reads to its end.
///
/// The first record of a key counts, so that all clients agree whoever was first, until one without a value says that
/// the queue is gone. `docs/kafka.md` describes it.
final class KafkaRegistry: Sendable {
    /// A queue as it was declared.
    struct Entry: Sendable {
        var definition: QueueDefinition
        /// How many partitions the queue had when it was declared.
        var partitions: Int
        var floors: [String: Floor] = [:]
        /// The offset of the queue's record: another one after it was deleted and declared again.
        var made: Int64 = 0
        /// It takes no publications.
        var isClosed = false
        /// Somebody has begun to delete the queue: it is gone for everybody, and what is left of it is nobody's.
        var isDeleting = false
    }

    /// Where a group begins.
    struct Floor: Sendable, Codable, Equatable {
        /// The first offset of each partition; nothing means the beginning.
        var offsets: [Int64]?
        /// Scheduled messages that were due before belong to the time before the group.
        var since: Int64?
    }

    struct QueueRecord: Codable, Equatable {
        var format = 1
        var queue: String
        var dedupeMs: Int64
        var retentionMs: Int64
        var isKeyed: Bool
        var partitions: Int
    }

    struct GroupRecord: Codable, Equatable {
        var format = 1
        var queue: String
        var group: String
        var leaseMs: Int64
        var maxAttempts: Int
        var floor: Floor
    }

    /// The word that somebody deletes a queue.
    struct DeletionRecord: Codable, Equatable {
        var format = 1
        /// Which declaration of the queue.
        var deleting: Int64
    }

    /// The word that a queue takes publications, or takes none.
    struct IntakeRecord: Codable, Equatable {
        var format = 1
        /// Which declaration of the queue.
        var intake: Int64
        var isOpen: Bool
    }

    /// What the records say so far.
    struct Table: Sendable {
        var next: Int64 = 0
        var entries: [String: Entry] = [:]
        /// When the last look began that has read all there was; `nil` before the first.
        var looked: ContinuousClock.Instant?
        /// Somebody looks so that publishers need not wait for it.
        var isLooking = false

        /// Takes in a record; what is not ours says nothing.
        mutating func apply(_ record: KafkaRecord) {
            next = max(next, record.offset + 1)
            guard let key = record.payload.key else { return }
            guard let value = record.payload.value else { return remove(String(decoding: key, as: UTF8.self), record) }
            let data = Data(value)
            if key.contains(UInt8(ascii: "@")) {
                guard let group = try? JSONDecoder().decode(GroupRecord.self, from: data), group.format == 1,
                    entries[group.queue]?.definition.groups.contains(where: { $0.name == group.group }) == false
                else { return }
                entries[group.queue]?.definition.groups.append(
                    GroupDefinition(group.group, lease: .milliseconds(group.leaseMs), maxAttempts: group.maxAttempts)
                )
                entries[group.queue]?.definition.groups.sort { $0.name < $1.name }
                entries[group.queue]?.floors[group.group] = group.floor
                return
            }
            let name = String(decoding: key, as: UTF8.self)
            if let deletion = try? JSONDecoder().decode(DeletionRecord.self, from: data) {
                if deletion.format == 1, entries[name]?.made == deletion.deleting { entries[name]?.isDeleting = true }
                return
            }
            if let word = try? JSONDecoder().decode(IntakeRecord.self, from: data) {
                if word.format == 1, entries[name]?.made == word.intake { entries[name]?.isClosed = !word.isOpen }
                return
            }
            guard let queue = try? JSONDecoder().decode(QueueRecord.self, from: data), queue.format == 1,
                entries[queue.queue] == nil
            else { return }
            var definition = QueueDefinition(queue.queue)
            definition.dedupeWindow = .milliseconds(queue.dedupeMs)
            definition.retention = .milliseconds(queue.retentionMs)
            definition.ordering = queue.isKeyed ? .keyed : .unordered
            entries[queue.queue] = Entry(definition: definition, partitions: queue.partitions, made: record.offset)
        }

        /// Forgets a queue that was deleted, unless it has been declared again since.
        private mutating func remove(_ queue: String, _ record: KafkaRecord) {
            let header = record.payload.headers.first { $0.name == KafkaRegistry.madeHeader }
            let made = header.flatMap { Int64(String(decoding: $0.value, as: UTF8.self)) }
            guard made == nil || made == entries[queue]?.made else { return }
            entries[queue] = nil
        }
    }

    private let broker: KafkaBroker
    private let table = Mutex(Table())

    static let place = TopicPartition(topic: KafkaNames.registry, partition: 0)

    init(_ broker: KafkaBroker) { self.broker = broker }

    /// What is known without asking.
    func known(_ queue: String) -> Entry? {
        table.withLock { table in table.entries[queue].flatMap { $0.isDeleting ? nil : $0 } }
    }

    /// What is left of a queue that somebody began to delete; it is known once ``current()`` was read.
    func remains(of queue: String) -> Entry? {
        table.withLock { table in table.entries[queue].flatMap { $0.isDeleting ? $0 : nil } }
    }

    /// For how long a publisher may rely on what it has read: so long after a queue was closed everybody knows it.
    static let trust: Duration = .seconds(1)

    /// What is known of a queue that is not older than ``trust``; looks when it is.
    ///
    /// It looks beside the publishers before it must, so that they seldom wait.
    ///
    /// - Throws: `QueueError` when the broker cannot be asked.
    func recent(_ queue: String) async throws(QueueError) -> Entry? {
        let now = ContinuousClock.now
        let (known, age, looks) = table.withLock { table -> (Entry?, Duration, Bool) in
            let age = table.looked.map { now - $0 } ?? Self.trust
            let looks = age > Self.trust / 2 && age < Self.trust && !table.isLooking
            if looks { table.isLooking = true }
            return (table.entries[queue], age, looks)
        }
        if looks {
            Task {
                // Who publishes hears of what is wrong when it has to look itself.
                _ = try? await current()
                table.withLock { $0.isLooking = false }
            }
        }
        // One that is closed may be open again, and nobody loses by looking.
        if let known, !known.isDeleting, !known.isClosed, age < Self.trust { return known }
        return try await current()[queue]
    }

    /// The first record that was not read.
    var next: Int64 { table.withLock { $0.next } }

    /// Takes in a record that somebody else has read, in order.
    func take(_ record: KafkaRecord) {
        table.withLock { table in
            if record.offset >= table.next { table.apply(record) }
        }
    }

    /// Reads what was written since, and returns every queue that is not being deleted.
    ///
    /// - Throws: `QueueError` when the broker cannot be asked.
    func current() async throws(QueueError) -> [String: Entry] {
        let began = ContinuousClock.now
        let end = try await broker.ask("reading the registry") { (client, timeout) throws(KafkaFailure) -> Int64 in
            // Whether there is a registry at all; asking for its end would wait for one.
            let metadata = try client.metadata(KafkaNames.registry, within: timeout)
            guard metadata.partitions[KafkaNames.registry] != nil else { return 0 }
            let position = KafkaPosition(place: Self.place, offset: KafkaPosition.end)
            return try client.offsets([position], within: timeout)[Self.place] ?? 0
        }
        let start = table.withLock { $0.next }
        let records = try await broker.read(Self.place, start..<max(start, end))
        return table.withLock { table in
            // Another call may have read the same meanwhile.
            for record in records where record.offset >= table.next { table.apply(record) }
            table.looked = max(table.looked ?? began, began)
            return table.entries.filter { !$0.value.isDeleting }
        }
    }

    /// Writes the settings of a queue or of a group.
    func write(_ record: some Encodable, key: String, queue: String) async throws(QueueError) {
        let encoder = JSONEncoder()
        encoder.outputFormatting = .sortedKeys
        guard let data = try? encoder.encode(record) else {
            throw QueueError(.invalidArgument, "the settings cannot be written as JSON", queue: queue)
        }
        try await write(KafkaPayload(key: Array(key.utf8), value: Array(data)), queue)
    }

    /// Which declaration a deletion means.
    static let madeHeader = "mq-made"

    /// Writes that a queue is gone.
    func remove(_ entry: Entry) async throws(QueueError) {
        let queue = entry.definition.name
        let made = KafkaHeader(name: Self.madeHeader, value: Array(String(entry.made).utf8))
        try await write(KafkaPayload(key: Array(queue.utf8), value: nil, headers: [made]), queue)
    }

    private func write(_ payload: KafkaPayload, _ queue: String) async throws(QueueError) {
        let reports: [KafkaReport]
        do throws(KafkaFailure) {
            reports = try await broker.publisher.write([.init(place: Self.place, payload: payload)])
        } catch {
            throw KafkaErrors.error(error, queue: queue, doing: "writing the registry")
        }
        if let failure = reports.first?.failure {
            throw KafkaErrors.error(failure, queue: queue, doing: "writing the registry")
        }
    }
}
#endif

#if Kafka
import Logging
import Messaging

/// Removes what every group has finished, as nothing else does: the topics keep records for ever.
enum Retention {
    /// Where a group is in each partition: the lowest unfinished offset; nothing where that is not known.
    typealias Bases = [TopicPartition: Int64]

    /// The decision, without I/O.
    ///
    /// - Parameters:
    ///   - bases: Of every registered group.
    ///   - bounds: Where partitions begin and end.
    ///   - young: The first record of each partition that is too young to go.
    /// - Returns: Below which offsets to remove; partitions where nothing is to be removed are left out.
    static func plan(
        _ bases: [Bases],
        bounds: [TopicPartition: Range<Int64>],
        young: [TopicPartition: Int64]
    ) -> [KafkaPosition] {
        guard !bases.isEmpty else { return [] }
        return bounds.sorted { ($0.key.topic, $0.key.partition) < ($1.key.topic, $1.key.partition) }
            .compactMap { place, range in
                var floor = range.upperBound
                for group in bases {
                    // A group that nobody knows the place of may need everything.
                    guard let base = group[place] else { return nil }
                    // It is of another topic of that name, or of records that a broker has lost: what came since is not
                    // finished.
                    guard base <= range.upperBound else { return nil }
                    floor = min(floor, base)
                }
                if let young = young[place] { floor = min(floor, young) }
                return floor > range.lowerBound ? KafkaPosition(place: place, offset: floor) : nil
            }
    }

    /// Looks where all groups of a queue are, and removes what lies behind.
    ///
    /// - Returns: Whether something that all groups have finished is there still because it is too young to go.
    /// - Throws: `QueueError` when a broker cannot be asked; nothing is then removed.
    static func clean(
        _ queue: String,
        _ broker: KafkaBroker,
        _ registry: KafkaRegistry
    ) async throws(QueueError) -> Bool {
        guard let entry = try await registry.current()[queue] else { return false }
        let levels = DelayLevels.lengths.count
        let main = KafkaQueue.places(KafkaNames.main(queue), entry.partitions)
        let shared = main + KafkaQueue.places(KafkaNames.scheduled(queue), levels)
        var bases: [Bases] = []
        var positions: [KafkaPosition] = []
        for group in entry.definition.groups {
            let own =
                KafkaQueue.places(KafkaNames.retry(queue, group.name), entry.partitions)
                + KafkaQueue.places(KafkaNames.delay(queue, group.name), levels)
            let id = KafkaNames.group(queue, group.name)
            let committed = try await broker.committed(of: id, shared + own, queue)
                .map { CommitNote.current($0, made: entry.made) }
            var found: Bases = [:]
            for position in committed where position.offset >= 0 { found[position.place] = position.offset }
            for (index, offset) in (entry.floors[group.name]?.offsets ?? []).enumerated() where index < main.count {
                found[main[index]] = found[main[index]] ?? offset
            }
            bases.append(found)
            positions += plan([found], bounds: try await broker.bounds(of: own, queue), young: [:])
        }
        positions += try await words(entry, bases, broker)
        let bounds = try await broker.bounds(of: shared, queue)
        let young = try await young(main, bounds, entry.definition.retention, broker, queue)
        let (old, all) = (plan(bases, bounds: bounds, young: young), plan(bases, bounds: bounds, young: [:]))
        positions += old
        guard !positions.isEmpty else { return old != all }
        let removed = positions
        try await broker.ask("removing finished records", queue) { (client, timeout) throws(KafkaFailure) in
            try client.deleteRecords(below: removed, within: timeout)
        }
        return old != all
    }

    private static let margin: Int64 = 2000

    /// Up to where the reservations can go: all of them, when nothing is reserved and every group has left behind what
    /// went elsewhere.
    private static func words(
        _ entry: KafkaRegistry.Entry,
        _ bases: [Bases],
        _ broker: KafkaBroker
    ) async throws(QueueError) -> [KafkaPosition] {
        let queue = entry.definition.name
        let place = TopicPartition(topic: KafkaNames.reservations(queue), partition: 0)
        let isThere = try await broker.ask("asking for topics", queue) { (client, timeout) throws(KafkaFailure) in
            try client.metadata(place.topic, within: timeout).partitions[place.topic] != nil
        }
        guard isThere, let range = try await broker.bounds(of: [place], queue)[place], !range.isEmpty else { return [] }
        var book = ReservationBook()
        for record in try await broker.read(place, range, queue) { _ = book.apply(record) }
        let names = entry.definition.groups.map(\.name)
        let isOver = book.isOver { stored in
            zip(names, bases).allSatisfy { name, found in
                guard stored.group == nil || stored.group == name else { return true }
                return found[stored.place(in: queue)].map { $0 >= stored.offset } ?? false
            }
        }
        return isOver ? [KafkaPosition(place: place, offset: range.upperBound)] : []
    }

    /// The first record of each partition that the queue's retention keeps.
    private static func young(
        _ places: [TopicPartition],
        _ bounds: [TopicPartition: Range<Int64>],
        _ retention: Duration,
        _ broker: KafkaBroker,
        _ queue: String
    ) async throws(QueueError) -> [TopicPartition: Int64] {
        guard retention > .zero else { return [:] }
        // The margin is for a group that is declared meanwhile, with a start that is still within the retention.
        let time = max(0, UnixTime.milliseconds() - min(retention.milliseconds, DelayLevels.longest) - margin)
        let found = try await broker.ask("asking for young records", queue) { (client, timeout) throws(KafkaFailure) in
            try client.offsets(places.map { KafkaPosition(place: $0, offset: time) }, within: timeout)
        }
        // Where no record is that young, all are old.
        return found.mapValues { $0 < 0 ? .max : $0 }
    }
}
#endif

#if Kafka
import Messaging

extension KafkaQueue {
    // swift-format-ignore: AllPublicDeclarationsHaveDocumentation
    public func statistics(of queue: String) async throws(QueueError) -> QueueStatistics {
        let entry = try await entry(of: queue)
        let (book, _) = try await book(of: entry)
        let reservations = try await knownReservations(of: entry) ?? ReservationBook()
        let levels = DelayLevels.lengths.count
        let main = Self.places(KafkaNames.main(queue), entry.partitions)
        let scheduled = Self.places(KafkaNames.scheduled(queue), levels)
        var places = main + scheduled
        for group in entry.definition.groups {
            places += Self.places(KafkaNames.retry(queue, group.name), entry.partitions)
            places += Self.places(KafkaNames.delay(queue, group.name), levels)
        }
        let bounds = try await broker.bounds(of: places, queue)
        let now = UnixTime.milliseconds()
        var groups: [GroupStatistics] = []
        var waiting: [Int] = []
        for group in entry.definition.groups {
            let delayed = Self.places(KafkaNames.delay(queue, group.name), levels)
            let retry = Self.places(KafkaNames.retry(queue, group.name), entry.partitions)
            let id = KafkaNames.group(queue, group.name)
            let asked = main + retry + scheduled + delayed
            let positions = try await broker.committed(of: id, asked, queue)
                .map { CommitNote.current($0, made: entry.made) }
            let committed = Dictionary(positions.map { ($0.place, $0) }) { first, _ in first }
            let floor = entry.floors[group.name]
            let delivered = GroupLag(main, committed, bounds, floor?.offsets) + GroupLag(retry, committed, bounds, nil)
            // What has gone to another backend, also while no member has heard it.
            let moved = { (place: TopicPartition) in
                let topic: StoredPlace.Topic = place.topic == KafkaNames.scheduled(queue) ? .scheduled : .delayed
                return reservations.moved(topic, place.partition, for: group.name)
            }
            let future = GroupLag(scheduled, committed, bounds, nil, moved: moved)
            let waits = GroupLag(delayed, committed, bounds, nil, moved: moved)
            waiting.append(future.unfinished)
            groups.append(
                GroupStatistics(
                    group: group.name,
                    ready: .estimate(delivered.unfinished - delivered.inFlight),
                    inFlight: .estimate(delivered.inFlight),
                    delayed: .estimate(future.unfinished + waits.unfinished),
                    dead: .exact(book.count(of: group.name)),
                    consumers: .unavailable("the broker knows clients, and not how many consumers each of them has"),
                    oldestAge: delivered.oldest.map { .milliseconds(max(0, now - $0)) }
                )
            )
        }
        let stored = (main + scheduled).reduce(0) { $0 + (bounds[$1]?.count ?? 0) }
        return QueueStatistics(
            queue: queue,
            groups: groups,
            scheduled: waiting.max().map { .estimate($0) }
                ?? .unavailable("without a group nobody has looked at what is scheduled"),
            stored: .estimate(stored),
            arrived: .estimate(main.reduce(0) { $0 + Int(bounds[$1]?.upperBound ?? 0) })
        )
    }

    static func places(_ topic: String, _ partitions: Int) -> [TopicPartition] {
        (0..<Int32(clamping: partitions)).map { TopicPartition(topic: topic, partition: $0) }
    }
}

/// How far a group is behind in some partitions, by what it has committed.
struct GroupLag: Equatable {
    var unfinished = 0
    var inFlight = 0
    /// When the oldest unfinished message was published, in milliseconds since 1970.
    var oldest: Int64?

    init(
        _ places: [TopicPartition],
        _ committed: [TopicPartition: KafkaPosition],
        _ bounds: [TopicPartition: Range<Int64>],
        _ floors: [Int64]?,
        moved: (TopicPartition) -> [Range<Int64>] = { _ in [] }
    ) {
        for place in places {
            let range = bounds[place] ?? 0..<0
            let position = committed[place]
            var base = position.map { $0.offset >= 0 ? $0.offset : -1 } ?? -1
            var note = base >= 0 ? CommitNote(position?.metadata, base: base) : CommitNote()
            for run in moved(place) { note.finished.insert(run) }
            if base < 0, let floors, floors.indices.contains(Int(place.partition)) {
                base = floors[Int(place.partition)]
            }
            base = max(base, range.lowerBound)
            guard base < range.upperBound else { continue }
            let left = Int(range.upperBound - base) - note.finished.count(in: base..<range.upperBound)
            unfinished += left
            inFlight += min(left, note.isOpen ? note.inFlight : 0)
            oldest = [oldest, note.oldest].compactMap { $0 }.min()
        }
    }

    private init(unfinished: Int, inFlight: Int, oldest: Int64?) {
        (self.unfinished, self.inFlight, self.oldest) = (unfinished, inFlight, oldest)
    }

    static func + (left: GroupLag, right: GroupLag) -> GroupLag {
        GroupLag(
            unfinished: left.unfinished + right.unfinished,
            inFlight: left.inFlight + right.inFlight,
            oldest: [left.oldest, right.oldest].compactMap { $0 }.min()
        )
    }
}
#endif

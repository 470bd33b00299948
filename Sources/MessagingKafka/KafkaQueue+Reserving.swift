#if Kafka
import Messaging
import Synchronization

/// How what waits is taken out of everybody's reach: a word in a log, and the members' word that they know it.
extension KafkaQueue {
    /// As much is reserved of a queue at a time: members keep it in memory.
    private static let mostReserved = 10_000
    /// How long members have to say that they know a reservation, before this client joins their group to say it.
    private static let patience: Duration = .seconds(2)
    /// How long to wait between two looks, at first and at most.
    private static let pauses = (first: Duration.milliseconds(10), longest: Duration.milliseconds(250))

    // MARK: - Dead letters

    /// Reserves dead letters; the order of the words decides between this and what others do.
    func reserve(dead offsets: [Int64], of entry: KafkaRegistry.Entry) async throws(QueueError) -> [Int64] {
        if offsets.isEmpty { return [] }
        let queue = entry.definition.name
        let (before, bounds) = try await book(of: entry)
        let open = offsets.filter { bounds.contains($0) && before.isOpen($0) }
        try await tell(.reserved, open, [:], queue)
        let (after, _) = try await book(of: entry)
        return offsets.filter { after.reserved.contains($0) }
    }

    // MARK: - What waits

    /// What is reserved, read up to the end of the log.
    ///
    /// - Throws: `QueueError`: `topologyLost` for a queue of a time before there were reservations.
    func reservations(of entry: KafkaRegistry.Entry) async throws(QueueError) -> ReservationBook {
        guard let book = try await knownReservations(of: entry) else {
            throw QueueError(
                .topologyLost,
                "the topic '\(KafkaNames.reservations(entry.definition.name))' is missing; declare the queue again",
                queue: entry.definition.name,
                isRetryable: false
            )
        }
        return book
    }

    /// What is reserved; `nil` where there is no log of it.
    func knownReservations(of entry: KafkaRegistry.Entry) async throws(QueueError) -> ReservationBook? {
        let (queue, key) = (entry.definition.name, Self.bookKey(entry))
        let place = TopicPartition(topic: KafkaNames.reservations(queue), partition: 0)
        let known = state.withLock { $0.reservations[key] }
        if known == nil {
            let isThere = try await broker.ask("asking for topics", queue) { (client, timeout) throws(KafkaFailure) in
                try client.metadata(place.topic, within: timeout).partitions[place.topic] != nil
            }
            guard isThere else { return nil }
        }
        let bounds = try await broker.bounds(of: [place], queue)[place] ?? 0..<0
        var book = known ?? ReservationBook()
        _ = book.begin(at: bounds.lowerBound)
        while book.next < bounds.upperBound {
            let records = try await broker.read(place, book.next..<bounds.upperBound, max: 5000, queue)
            for record in records { _ = book.apply(record) }
            if records.count < 5000 { break }
        }
        let found = book
        return state.withLock { state in
            // Another call may have read further meanwhile.
            if let other = state.reservations[key], other.next > found.next { return other }
            state.reservations[key] = found
            return found
        }
    }

    /// Writes a word on what waits.
    ///
    /// - Throws: `QueueError` when it is not certainly there for all of them.
    func tell(_ word: ReservationBook.Word, _ places: [StoredPlace], _ queue: String) async throws(QueueError) {
        let log = TopicPartition(topic: KafkaNames.reservations(queue), partition: 0)
        let orders = places.map { KafkaPublisher.Order(place: log, payload: ReservationBook.payload($0, word)) }
        if let first = try await write(orders, queue).compactMap({ $0 }).first { throw first }
    }

    /// How groups see partitions of what waits.
    func views(
        of groups: [String],
        _ places: Set<TopicPartition>,
        _ entry: KafkaRegistry.Entry,
        _ bounds: [TopicPartition: Range<Int64>],
        moved: (String, TopicPartition) -> [Range<Int64>] = { _, _ in [] }
    ) async throws(QueueError) -> [String: [TopicPartition: PlaceView]] {
        let queue = entry.definition.name
        let main = KafkaNames.main(queue)
        var views: [String: [TopicPartition: PlaceView]] = [:]
        for group in groups {
            let asked = places.sorted { ($0.topic, $0.partition) < ($1.topic, $1.partition) }
            let committed = try await broker.committed(of: KafkaNames.group(queue, group), asked, queue)
                .map { CommitNote.current($0, made: entry.made) }
            let floors = entry.floors[group]?.offsets ?? []
            for position in committed {
                let place = position.place
                let index = Int(place.partition)
                views[group, default: [:]][place] = PlaceView(
                    position,
                    bounds: bounds[place] ?? 0..<0,
                    floor: place.topic == main && floors.indices.contains(index) ? floors[index] : nil,
                    moved: moved(group, place)
                )
            }
        }
        return views
    }

    /// What has become of reservations.
    ///
    /// - Parameters:
    ///   - places: Messages that the book has.
    ///   - book: The book.
    ///   - entry: The queue.
    ///   - dues: When schedules are due: those of the time before a group are not for it; not needed for what was reserved
    ///     before.
    /// - Returns: A verdict on each.
    /// - Throws: `QueueError` when the broker cannot be asked.
    func verdicts(
        _ places: [StoredPlace],
        _ book: ReservationBook,
        _ entry: KafkaRegistry.Entry,
        dues: [StoredPlace: Int64] = [:]
    ) async throws(QueueError) -> [StoredPlace: ReservationVerdict] {
        if places.isEmpty { return [:] }
        let queue = entry.definition.name
        let names = entry.definition.groups.map(\.name)
        let spots = Set(places.map { $0.place(in: queue) })
        let bounds = try await broker.bounds(of: Array(spots), queue)
        var verdicts: [StoredPlace: ReservationVerdict] = [:]
        var views: [String: [TopicPartition: PlaceView]] = [:]
        for group in Set(places.flatMap { $0.group.map { [$0] } ?? names }) where names.contains(group) {
            let own = places.filter { $0.group ?? group == group }.map { $0.place(in: queue) }
            views.merge(try await self.views(of: [group], Set(own), entry, bounds)) { $1 }
        }
        for place in places {
            let groups = place.group.map { [$0] } ?? names
            let seen = groups.map { group -> PlaceView? in
                if let since = entry.floors[group]?.since, let due = dues[place], due <= since { return nil }
                return views[group]?[place.place(in: queue)]
            }
            // Without a group nobody moves anything.
            let word = book.reserved[place] ?? .max
            verdicts[place] = ReservationVerdict(place.offset, word: word, views: seen)
        }
        return verdicts
    }

    /// Reserves what waits.
    ///
    /// - Returns: What nobody moves any more.
    /// - Throws: `QueueError`: `unavailable` when a group's members do not say whether they know it; nothing more than
    ///   before is reserved then.
    func reserve(waiting wanted: [StoredPlace], of entry: KafkaRegistry.Entry) async throws(QueueError) -> [StoredPlace]
    {
        if wanted.isEmpty { return [] }
        let queue = entry.definition.name
        let dues = try await dues(of: wanted, entry)
        let places = wanted.filter { dues[$0] != nil }
        var book = try await reservations(of: entry)
        let fresh = places.filter { book.reserved[$0] == nil }
        if book.reserved.count + fresh.count > Self.mostReserved {
            throw QueueError(
                .invalidArgument,
                "at most \(Self.mostReserved) messages of a queue are reserved at a time; remove or put back some first",
                queue: queue
            )
        }
        if !fresh.isEmpty {
            try await tell(.reserved, fresh, queue)
            book = try await reservations(of: entry)
        }
        // What has gone elsewhere has no reservation.
        let asked = places.filter { book.reserved[$0] != nil }
        let verdicts = try await settled(asked, book, entry, dues)
        let open = asked.filter { verdicts[$0] == .open }
        let gone = asked.filter { verdicts[$0] == .gone }
        // A group that still has a schedule which others have got already goes on with it.
        let back = open.isEmpty ? gone : gone + fresh.filter { verdicts[$0] != nil }
        try await tell(.returned, back, queue)
        guard open.isEmpty else {
            throw QueueError(
                .unavailable,
                "the members of its groups do not say that they know of \(open.count) reservations; those of an older "
                    + "version cannot",
                queue: queue
            )
        }
        return asked.filter { verdicts[$0] == .reserved }
    }

    /// Waits until members have said what became of reservations; joins their groups where nobody does.
    private func settled(
        _ places: [StoredPlace],
        _ book: ReservationBook,
        _ entry: KafkaRegistry.Entry,
        _ dues: [StoredPlace: Int64]
    ) async throws(QueueError) -> [StoredPlace: ReservationVerdict] {
        let clock = QueueClock.system
        let began = clock.now()
        let limit = Self.patience + configuration.timeout + configuration.sessionTimeout * 3
        var pause = Self.pauses.first
        while true {
            let verdicts = try await verdicts(places, book, entry, dues: dues)
            let open = places.filter { verdicts[$0] == .open }
            let waited = clock.now() - began
            if open.isEmpty || waited >= limit { return verdicts }
            if waited >= Self.patience {
                let names = Set(open.flatMap { $0.group.map { [$0] } ?? entry.definition.groups.map(\.name) })
                try attend(entry.definition.groups.filter { names.contains($0.name) }, entry)
            }
            do {
                try await clock.sleep(for: pause)
            } catch {
                throw QueueError(.cancelled, "reserving was cancelled", queue: entry.definition.name)
            }
            pause = min(pause * 2, Self.pauses.longest)
        }
    }

    /// When messages are due; what is not there any more is left out.
    private func dues(
        of places: [StoredPlace],
        _ entry: KafkaRegistry.Entry
    ) async throws(QueueError) -> [StoredPlace: Int64] {
        let names = Set(entry.definition.groups.map(\.name))
        var dues: [StoredPlace: Int64] = [:]
        for (place, record) in try await records(of: places.filter { $0.group.map(names.contains) ?? true }, entry) {
            dues[place] = TransferPlan.due(record, place, queue: entry.definition.name)
        }
        return dues
    }

    /// Reads records by their places; those that are not there are left out.
    func records(
        of places: [StoredPlace],
        _ entry: KafkaRegistry.Entry
    ) async throws(QueueError) -> [(StoredPlace, KafkaRecord)] {
        let queue = entry.definition.name
        let levels = Int32(clamping: DelayLevels.lengths.count)
        let byPlace = Dictionary(grouping: places.filter { $0.topic == .dead || $0.partition < levels }) {
            $0.place(in: queue)
        }
        let bounds = try await broker.bounds(of: Array(byPlace.keys), queue)
        var found: [StoredPlace: KafkaRecord] = [:]
        for (place, wanted) in byPlace {
            let range = bounds[place] ?? 0..<0
            let offsets = Set(wanted.map(\.offset)).filter(range.contains).sorted()
            for run in Self.runs(offsets) {
                for record in try await broker.read(place, run, queue) {
                    for stored in wanted where stored.offset == record.offset { found[stored] = record }
                }
            }
        }
        return places.compactMap { place in found[place].map { (place, $0) } }
    }

    // MARK: - Attending

    /// Joins groups only to move on what waits, where nobody else is there to know of reservations.
    ///
    /// It stays until the client is closed: joining and leaving each time would hold up those who come.
    private func attend(_ groups: [GroupDefinition], _ entry: KafkaRegistry.Entry) throws(QueueError) {
        let isClosed = state.withLock { state in
            if state.isClosed { return true }
            for group in groups where state.attendants[Self.memberKey(entry, group.name)] == nil {
                let (broker, registry, configuration, logger) = (broker, registry, configuration, logger)
                state.attendants[Self.memberKey(entry, group.name)] = Task {
                    let log = KafkaLog(logger: logger)
                    return try await GroupMember.join(entry, group, .waiting, broker, registry, configuration, log)
                }
            }
            return false
        }
        if isClosed { throw Self.closed }
    }

    /// Lets this client's own members commit what they know, so that a look from outside sees it.
    func flush(_ entry: KafkaRegistry.Entry) async {
        let joining = state.withLock { state in
            entry.definition.groups.compactMap { state.members[Self.memberKey(entry, $0.name)]?.joining }
        }
        for member in joining { await (try? member.value)?.flush() }
    }
}
#endif

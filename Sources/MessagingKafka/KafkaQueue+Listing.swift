#if Kafka
import Messaging

/// Looks at what a queue holds without disturbing it: the topics from where each group has committed.
extension KafkaQueue {
    /// As many records are read at a time at least.
    private static let chunk = 50

    /// A page that is being filled.
    private struct Filling {
        let limit: Int
        var found: [StoredMessage] = []
        var room: Int { limit - found.count }
    }

    /// Where a page begins: a partition of the list that is gone through, and an offset in it.
    private struct Cursor {
        var index = 0
        var offset: Int64 = 0

        init?(_ text: String?) {
            guard let text else { return }
            let parts = text.split(separator: ":").compactMap { Int64($0) }
            guard parts.count == 2, let index = Int(exactly: parts[0]), index >= 0, parts[1] >= 0 else { return nil }
            (self.index, offset) = (index, parts[1])
        }

        var text: String { "\(index):\(offset)" }
    }

    // swift-format-ignore: AllPublicDeclarationsHaveDocumentation
    public func stored(
        in queue: String,
        state: StoredMessage.State,
        group: String?,
        after: String?,
        limit: Int
    ) async throws(QueueError) -> Page<StoredMessage> {
        let entry = try await entry(of: queue)
        guard 1...1000 ~= limit else {
            throw QueueError(.invalidArgument, "a page has 1 to 1000 elements, not \(limit)", queue: queue)
        }
        if state == .reserved { return try await reserved(entry, after, limit) }
        guard var cursor = Cursor(after) else { throw Self.badCursor(queue) }
        switch state {
        case .dead, .reserved: return try await dead(entry, &cursor, limit)
        case .scheduled:
            if after == nil { await flush(entry) }
            return try await later(entry, nil, &cursor, limit)
        case .ready, .inFlight, .waiting:
            guard let group else {
                throw QueueError(.invalidArgument, "the state '\(state.rawValue)' needs a group", queue: queue)
            }
            guard entry.definition.groups.contains(where: { $0.name == group }) else {
                throw QueueError(.notFound, "there is no group '\(group)'", queue: queue)
            }
            if after == nil { await flush(entry) }
            if state == .waiting { return try await later(entry, group, &cursor, limit) }
            return try await delivered(entry, group, state, &cursor, limit)
        }
    }

    private static func badCursor(_ queue: String) -> QueueError {
        QueueError(.invalidArgument, "'after' is not from a page before", queue: queue)
    }

    /// Goes through partitions until the page is full.
    ///
    /// - Parameters:
    ///   - places: The partitions.
    ///   - cursor: Where to begin; where to go on afterwards.
    ///   - page: The page.
    ///   - queue: The queue.
    ///   - range: The offsets of a partition that matter, from an offset on.
    ///   - make: What a record is; `nil` for one that is passed over.
    /// - Returns: Whether everything was seen.
    /// - Throws: `QueueError` when the broker cannot be asked.
    private func walk(
        _ places: [TopicPartition],
        _ cursor: inout Cursor,
        _ page: inout Filling,
        _ queue: String,
        _ range: (Int, Int64) -> Range<Int64>,
        _ make: (Int, KafkaRecord) -> StoredMessage?
    ) async throws(QueueError) -> Bool {
        while cursor.index < places.count {
            let part = range(cursor.index, cursor.offset)
            let count = max(page.room, Self.chunk)
            let records = try await broker.read(places[cursor.index], part, max: count, queue)
            for record in records {
                if page.room == 0 { return false }
                cursor.offset = record.offset + 1
                if let stored = make(cursor.index, record) { page.found.append(stored) }
            }
            if records.count == count { continue }
            cursor.index += 1
            cursor.offset = 0
        }
        return true
    }

    private func page(_ filling: Filling, _ cursor: Cursor, isOver: Bool) -> Page<StoredMessage> {
        Page(filling.found, next: isOver ? nil : cursor.text)
    }

    // MARK: - The states

    /// What is ready for a group, or in flight.
    ///
    /// Which messages a member has handed over it does not say, only up to where; what came back from there and is ready
    /// again counts as in flight until nothing of the partition is.
    private func delivered(
        _ entry: KafkaRegistry.Entry,
        _ group: String,
        _ state: StoredMessage.State,
        _ cursor: inout Cursor,
        _ limit: Int
    ) async throws(QueueError) -> Page<StoredMessage> {
        let queue = entry.definition.name
        let topics: [StoredPlace.Topic] = [.main, .retry]
        let spots = topics.flatMap { topic in
            (0..<Int32(clamping: entry.partitions)).map { StoredPlace(topic, $0, 0, group: group) }
        }
        let places = spots.map { $0.place(in: queue) }
        let bounds = try await broker.bounds(of: places, queue)
        let views = try await views(of: [group], Set(places), entry, bounds)[group] ?? [:]
        let isInFlight = state == .inFlight
        var filling = Filling(limit: limit)
        let isOver = try await walk(places, &cursor, &filling, queue) { index, from in
            guard let view = views[places[index]] else { return 0..<0 }
            let end = isInFlight && !view.note.isOpen ? 0 : isInFlight ? min(view.end, view.note.high + 1) : view.end
            let start = view.firstUnfinished(from: from)
            return start..<max(start, end)
        } _: { index, record in
            guard let view = views[places[index]], view.isUnfinished(record.offset),
                view.mayBeInFlight(record.offset) == isInFlight
            else { return nil }
            var place = spots[index]
            place.offset = record.offset
            let ended = (view.note.attempts[record.offset] ?? 0) + (isInFlight ? 1 : 0)
            return TransferPlan.stored(record, place, state, queue: queue, ended: ended)
        }
        return page(filling, cursor, isOver: isOver)
    }

    /// What waits: schedules that no group has got, or what waits for one group alone.
    ///
    /// A schedule that some groups have got waits for the others.
    private func later(
        _ entry: KafkaRegistry.Entry,
        _ group: String?,
        _ cursor: inout Cursor,
        _ limit: Int
    ) async throws(QueueError) -> Page<StoredMessage> {
        let queue = entry.definition.name
        let names = entry.definition.groups.map(\.name)
        let levels = 0..<Int32(clamping: DelayLevels.lengths.count)
        let spots =
            (group == nil ? [] : levels.map { StoredPlace(.delayed, $0, 0, group: group) })
            + levels.map { StoredPlace(.scheduled, $0, 0, group: group) }
        let places = spots.map { $0.place(in: queue) }
        let bounds = try await broker.bounds(of: places, queue)
        let book = try await knownReservations(of: entry) ?? ReservationBook()
        var views: [String: [TopicPartition: PlaceView]] = [:]
        for name in names {
            let seen = zip(spots, places).filter { $0.0.topic == .scheduled || name == group }
            let topics = Dictionary(seen.map { ($0.1, $0.0) }) { first, _ in first }
            let found = try await self.views(of: [name], Set(seen.map(\.1)), entry, bounds) { group, place in
                topics[place].map { book.moved($0.topic, $0.partition, for: group) } ?? []
            }
            views.merge(found) { $1 }
        }
        let isWanted = { (place: StoredPlace, record: KafkaRecord) -> Bool in
            let spot = place.place(in: queue)
            let isReserved = { (place: StoredPlace) -> Bool in
                guard let word = book.reserved[place] else { return false }
                let groups = place.group.map { [$0] } ?? names
                let seen = groups.map { views[$0]?[spot] }
                return ReservationVerdict(place.offset, word: word, views: seen) == .reserved
            }
            if isReserved(place) { return false }
            guard place.topic == .scheduled else {
                return views[group ?? ""]?[spot]?.isUnfinished(place.offset) ?? false
            }
            var all = place
            all.group = nil
            if isReserved(all) { return false }
            let due = TransferPlan.due(record, place, queue: queue)
            let waiting = names.filter { name in
                if let since = entry.floors[name]?.since, due <= since { return false }
                return views[name]?[spot]?.isUnfinished(place.offset) ?? false
            }
            guard let group else { return waiting.count == names.count }
            return waiting.count < names.count && waiting.contains(group)
        }
        var filling = Filling(limit: limit)
        let isOver = try await walk(places, &cursor, &filling, queue) { index, from in
            // What one group has not finished concerns the others too.
            let seen = names.compactMap { views[$0]?[places[index]] }
            let range = bounds[places[index]] ?? 0..<0
            let start = seen.map { $0.firstUnfinished(from: from) }.min() ?? max(from, range.lowerBound)
            return start..<max(start, range.upperBound)
        } _: { index, record in
            var place = spots[index]
            place.offset = record.offset
            guard isWanted(place, record) else { return nil }
            return TransferPlan.stored(record, place, group == nil ? .scheduled : .waiting, queue: queue)
        }
        return page(filling, cursor, isOver: isOver)
    }

    private func dead(
        _ entry: KafkaRegistry.Entry,
        _ cursor: inout Cursor,
        _ limit: Int
    ) async throws(QueueError) -> Page<StoredMessage> {
        let queue = entry.definition.name
        let (book, bounds) = try await book(of: entry)
        let place = TopicPartition(topic: KafkaNames.deadLetters(queue), partition: 0)
        var filling = Filling(limit: limit)
        let isOver = try await walk([place], &cursor, &filling, queue) { _, from in
            let start = book.gone.firstGap(from: max(from, bounds.lowerBound))
            return start..<max(start, bounds.upperBound)
        } _: { _, record in
            guard book.isOpen(record.offset) else { return nil }
            return TransferPlan.stored(record, StoredPlace(.dead, 0, record.offset), .dead, queue: queue)
        }
        return page(filling, cursor, isOver: isOver)
    }

    /// What is reserved; a reservation that its members have not said to know is none yet.
    private func reserved(
        _ entry: KafkaRegistry.Entry,
        _ after: String?,
        _ limit: Int
    ) async throws(QueueError) -> Page<StoredMessage> {
        let queue = entry.definition.name
        let last = after.map { StoredPlace($0) }
        if case .some(.none) = last { throw Self.badCursor(queue) }
        let (letters, _) = try await book(of: entry)
        let book = try await knownReservations(of: entry) ?? ReservationBook()
        let verdicts = try await verdicts(Array(book.reserved.keys), book, entry)
        let waiting = verdicts.filter { $0.value == .reserved }.map(\.key)
        let all = (waiting + letters.reserved.map { StoredPlace(.dead, 0, $0) }).sorted()
        let rest = all.drop { place in last.flatMap { $0 }.map { place <= $0 } ?? false }
        let part = Array(rest.prefix(limit))
        let found = try await records(of: part, entry).map { place, record in
            let state: StoredMessage.State =
                switch place.topic {
                case .dead: .dead
                case .scheduled where place.group == nil: .scheduled
                default: .waiting
                }
            return TransferPlan.stored(record, place, state, queue: queue)
        }
        return Page(found, next: rest.count > part.count ? part.last?.id : nil)
    }
}
#endif

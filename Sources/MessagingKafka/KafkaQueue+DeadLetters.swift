#if Kafka
import Messaging
import Synchronization

extension KafkaQueue {
    // swift-format-ignore: AllPublicDeclarationsHaveDocumentation
    public func deadLetters(
        of queue: String,
        matching filter: DeadLetterFilter,
        after: String?,
        limit: Int
    ) async throws(QueueError) -> Page<DeadLetter> {
        guard 1...1000 ~= limit else {
            throw QueueError(.invalidArgument, "a page has 1 to 1000 elements, not \(limit)", queue: queue)
        }
        let (book, bounds) = try await book(of: try await entry(of: queue))
        let place = TopicPartition(topic: KafkaNames.deadLetters(queue), partition: 0)
        var position = max(after.flatMap { Int64($0) } ?? 0, bounds.lowerBound)
        var letters: [DeadLetter] = []
        // What is gone is passed over without being read.
        position = book.gone.firstGap(from: position)
        guard position < bounds.upperBound else { return Page([], next: nil) }
        let records = try await broker.read(place, position..<bounds.upperBound, max: limit, queue)
        for record in records {
            position = record.offset + 1
            guard book.isOpen(record.offset) else { continue }
            let letter = DeadLetterBook.letter(record, queue: queue).letter
            if filter.matches(letter) { letters.append(letter) }
        }
        let next = book.gone.firstGap(from: position)
        return Page(letters, next: records.count < limit || next >= bounds.upperBound ? nil : String(next))
    }

    // swift-format-ignore: AllPublicDeclarationsHaveDocumentation
    public func redrive(_ ids: [String], of queue: String) async throws(QueueError) -> [String] {
        let entry = try await entry(of: queue)
        let groups = entry.definition.groups.map(\.name)
        return try await end(ids, of: entry, .redriven) { letter in
            let envelope = letter.redriven
            // One that names no group was written by another program; it can only be meant for the only group.
            guard let group = letter.group ?? (groups.count == 1 ? groups.first : nil) else { return nil }
            let lane = envelope.key.map { Lanes.partition(of: $0, among: entry.partitions) } ?? 0
            let place = TopicPartition(topic: KafkaNames.retry(queue, group), partition: lane)
            return KafkaPublisher.Order(place: place, payload: envelope.payload)
        }
    }

    // swift-format-ignore: AllPublicDeclarationsHaveDocumentation
    public func discardDeadLetters(_ ids: [String], of queue: String) async throws(QueueError) -> [String] {
        try await end(ids, of: try await entry(of: queue), .discarded, copy: nil)
    }

    /// Ends dead letters: writes a copy of each where one is wanted, and then that it is gone.
    ///
    /// - Returns: The ids that ended.
    private func end(
        _ ids: [String],
        of entry: KafkaRegistry.Entry,
        _ word: DeadLetterBook.Word,
        copy: ((Envelope) -> KafkaPublisher.Order?)?
    ) async throws(QueueError) -> [String] {
        let (book, bounds) = try await book(of: entry)
        let offsets = Set(ids.compactMap { id in Int64(id).flatMap { String($0) == id ? $0 : nil } })
            .filter { bounds.contains($0) && book.isOpen($0) }.sorted()
        var done: [String] = []
        for start in stride(from: 0, to: offsets.count, by: 500) {
            let part = offsets[start..<min(start + 500, offsets.count)]
            done += try await end(part, of: entry, word, copy)
        }
        return done
    }

    private func end(
        _ offsets: ArraySlice<Int64>,
        of entry: KafkaRegistry.Entry,
        _ word: DeadLetterBook.Word,
        _ copy: ((Envelope) -> KafkaPublisher.Order?)?
    ) async throws(QueueError) -> [String] {
        let queue = entry.definition.name
        let letters = try await letters(offsets, of: queue)
        var kept = offsets.filter { letters[$0] != nil }
        if let copy {
            kept = kept.filter { letters[$0].flatMap(copy) != nil }
            // First the word that they are being sent: whoever wants to reserve them waits until it is known what came of it.
            try await tell(.sending, kept, letters, queue)
            let (book, _) = try await book(of: entry)
            kept = kept.filter { book.isOpen($0) }
            let failures = try await write(kept.compactMap { letters[$0].flatMap(copy) }, queue)
            let written = zip(kept, failures).filter { $0.1 == nil }.map(\.0)
            if written.isEmpty, let first = failures.compactMap({ $0 }).first { throw first }
            kept = written
        }
        do throws(QueueError) {
            try await tell(word, kept, letters, queue)
        } catch {
            guard copy != nil else { throw error }
            // The copies are written; the letters are still listed, and sending them again would double them.
            throw QueueError(
                .indeterminate,
                "dead letters were sent and could not be removed from the list: \(error.message)",
                queue: queue,
                underlying: error
            )
        }
        if copy != nil { return kept.map { String($0) } }
        // Another client may have reserved one of them first.
        let (book, _) = try await book(of: entry)
        return kept.filter { book.gone.contains($0) }.map { String($0) }
    }

    /// Reads dead letters by their offsets.
    func letters(_ offsets: some Collection<Int64>, of queue: String) async throws(QueueError) -> [Int64: Envelope] {
        var letters: [Int64: Envelope] = [:]
        let place = TopicPartition(topic: KafkaNames.deadLetters(queue), partition: 0)
        for run in Self.runs(offsets) {
            for record in try await broker.read(place, run, queue) {
                letters[record.offset] = DeadLetterBook.letter(record, queue: queue).envelope
            }
        }
        return letters
    }

    /// Writes a word on dead letters.
    ///
    /// - Throws: `QueueError` when it is not certainly there for all of them.
    func tell(
        _ word: DeadLetterBook.Word,
        _ offsets: some Collection<Int64>,
        _ letters: [Int64: Envelope],
        _ queue: String
    ) async throws(QueueError) {
        let states = TopicPartition(topic: KafkaNames.deadLetterStates(queue), partition: 0)
        // Longer than everything takes that follows, however slow the broker is, and with room for clocks that differ.
        let within = word == .sending ? (configuration.publishTimeout + configuration.timeout) * 2 + .seconds(60) : nil
        let orders = offsets.map { offset in
            KafkaPublisher.Order(
                place: states,
                payload: DeadLetterBook.state(offset, group: letters[offset]?.group, word, within: within)
            )
        }
        if let first = try await write(orders, queue).compactMap({ $0 }).first { throw first }
    }

    /// Neighbours are read together; a gap of a few is cheaper to read than to pass over.
    static func runs(_ offsets: some Collection<Int64>) -> [Range<Int64>] {
        var runs: [Range<Int64>] = []
        for offset in offsets {
            if let last = runs.last, offset - last.upperBound < 50 {
                runs[runs.count - 1] = last.lowerBound..<offset + 1
            } else {
                runs.append(offset..<offset + 1)
            }
        }
        return runs
    }

    func write(
        _ orders: [KafkaPublisher.Order],
        _ queue: String
    ) async throws(QueueError) -> [QueueError?] {
        if orders.isEmpty { return [] }
        do throws(KafkaFailure) {
            return try await broker.publisher.write(orders).map { report in
                report.failure.map { KafkaErrors.error($0, queue: queue, doing: "writing a dead letter") }
            }
        } catch {
            throw KafkaErrors.error(error, queue: queue, doing: "writing a dead letter")
        }
    }

    /// Reads what came since the last look.
    ///
    /// - Returns: The book, and the offsets of the dead letters.
    func book(of entry: KafkaRegistry.Entry) async throws(QueueError) -> (DeadLetterBook, Range<Int64>) {
        let (queue, key) = (entry.definition.name, Self.bookKey(entry))
        let letters = TopicPartition(topic: KafkaNames.deadLetters(queue), partition: 0)
        let states = TopicPartition(topic: KafkaNames.deadLetterStates(queue), partition: 0)
        let bounds = try await broker.bounds(of: [letters, states], queue)
        var book = state.withLock { $0.books[key] } ?? DeadLetterBook()
        for (place, isState) in [(letters, false), (states, true)] {
            let end = bounds[place]?.upperBound ?? 0
            while true {
                let start = max(isState ? book.nextState : book.nextLetter, bounds[place]?.lowerBound ?? 0)
                guard start < end else { break }
                let records = try await broker.read(place, start..<end, max: 1000, queue)
                for record in records { if isState { book.remove(record) } else { book.count(record) } }
                // A part of the log without a record: marks of transactions, or compacted.
                if records.count < 1000 {
                    if isState { book.nextState = end } else { book.nextLetter = end }
                }
            }
        }
        let found = book
        let kept = state.withLock { state in
            // Another call may have read further meanwhile.
            if let other = state.books[key], other.nextState > found.nextState { return other }
            state.books[key] = found
            return found
        }
        return (kept, bounds[letters] ?? 0..<0)
    }
}
#endif

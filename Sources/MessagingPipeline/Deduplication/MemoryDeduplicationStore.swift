/// A deduplication store in the memory of the process.
public actor MemoryDeduplicationStore: DeduplicationStore {
    private struct Text {
        /// The fingerprint of the earliest statement.
        var earliest: Fingerprint
        /// The order of the earliest statement known to say the same.
        var original: String
        /// The last search that came by.
        var search = 0
    }

    /// A text in a bucket.
    private struct Place {
        /// The time of its earliest statement.
        let time: Int64
        let number: Int32
    }

    private let capacity: Int
    private var texts: [Text] = []
    // From `exact` to the index in `texts`.
    private var numbers: [String: Int] = [:]
    // Sorted by time.
    private var buckets: [UInt64: [Place]] = [:]
    private var searches = 0

    /// Creates an empty store.
    ///
    /// - Parameter capacity: The most texts it takes; each needs some 3 kB.
    public init(capacity: Int = 1_000_000) {
        self.capacity = min(capacity, Int(Int32.max))
    }

    /// Inserts the fingerprint of a statement, as ``DeduplicationStore/insert(_:)`` demands.
    ///
    /// - Parameter fingerprint: The fingerprint.
    /// - Returns: The earliest statement of the same text, or the ones of other texts that say the same.
    /// - Throws: ``StoreError/full(capacity:)`` when the text is new and the store is full.
    public func insert(_ fingerprint: Fingerprint) throws -> [Fingerprint] {
        let number: Int
        if let known = numbers[fingerprint.exact] {
            if texts[known].earliest.order < fingerprint.order { return [texts[known].earliest] }
            number = known
            let time = texts[known].earliest.time
            texts[known].earliest = fingerprint
            if time != fingerprint.time {
                for bucket in fingerprint.buckets { remove(number, from: bucket, time: time) }
                for bucket in fingerprint.buckets { insert(number, into: bucket, time: fingerprint.time) }
            }
        } else {
            guard texts.count < capacity else { throw StoreError.full(capacity: capacity) }
            number = texts.count
            texts.append(Text(earliest: fingerprint, original: fingerprint.order))
            numbers[fingerprint.exact] = number
            for bucket in fingerprint.buckets { insert(number, into: bucket, time: fingerprint.time) }
        }
        return search(fingerprint, number)
    }

    private func search(_ fingerprint: Fingerprint, _ number: Int) -> [Fingerprint] {
        searches += 1
        texts[number].search = searches
        var search = TextSearch(order: fingerprint.order)
        var original: Fingerprint?
        var found: [Fingerprint] = []
        func look(_ other: Int) {
            if texts[other].search == searches { return }
            texts[other].search = searches
            let earliest = texts[other].earliest
            let finding = search.look(earliest: earliest.order, original: texts[other].original) {
                fingerprint.saysTheSame(as: earliest)
            }
            switch finding {
            case .nothing: break
            case .original: original = earliest
            case .superseded:
                texts[other].original = fingerprint.order
                found.append(earliest)
            }
        }
        let time = fingerprint.time
        for bucket in fingerprint.buckets {
            let places = buckets[bucket] ?? []
            for place in places {
                if search.isDone(at: place.time) { break }
                look(Int(place.number))
            }
            for place in places[Self.firstIndex(in: places, from: time)...] { look(Int(place.number)) }
        }
        texts[number].original = min(texts[number].original, search.original)
        if let original { found.append(original) }
        return found
    }

    // MARK: - Buckets

    private func insert(_ number: Int, into bucket: UInt64, time: Int64) {
        let index = Self.firstIndex(in: buckets[bucket] ?? [], from: time)
        buckets[bucket, default: []].insert(Place(time: time, number: Int32(number)), at: index)
    }

    private func remove(_ number: Int, from bucket: UInt64, time: Int64) {
        let places = buckets[bucket] ?? []
        let start = Self.firstIndex(in: places, from: time)
        let index = places[start...].firstIndex { $0.number == Int32(number) }
        if let index { buckets[bucket]?.remove(at: index) }
    }

    /// The index of the first text that is not before a time.
    private static func firstIndex(in places: [Place], from time: Int64) -> Int {
        var low = 0
        var high = places.count
        while low < high {
            let middle = (low + high) / 2
            if places[middle].time < time { low = middle + 1 } else { high = middle }
        }
        return low
    }

    /// The number of different texts that were inserted.
    ///
    /// - Returns: The number.
    public func count() -> Int {
        texts.count
    }
}

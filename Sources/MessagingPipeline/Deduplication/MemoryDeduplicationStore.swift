/// A deduplication store in the memory of the process.
public actor MemoryDeduplicationStore: DeduplicationStore {
    private let capacity: Int
    // By insertion number.
    private var fingerprints: [Fingerprint] = []
    private var numbers: [String: Int] = [:]
    private var buckets: [String: [Int]] = [:]

    /// Creates an empty store.
    ///
    /// - Parameter capacity: The most fingerprints it takes; each needs some 3 kB.
    public init(capacity: Int = 1_000_000) {
        self.capacity = capacity
    }

    /// Inserts a fingerprint once, as ``DeduplicationStore/insert(_:)`` demands.
    ///
    /// - Parameter fingerprint: The fingerprint.
    /// - Returns: The ones inserted before it that share a bucket.
    /// - Throws: ``StoreError/full(capacity:)`` when it is new and the store is full.
    public func insert(_ fingerprint: Fingerprint) throws -> [Fingerprint] {
        let number: Int
        if let known = numbers[fingerprint.id] {
            number = known
        } else {
            guard fingerprints.count < capacity else { throw StoreError.full(capacity: capacity) }
            number = fingerprints.count
            fingerprints.append(fingerprint)
            numbers[fingerprint.id] = number
            for bucket in fingerprint.buckets { buckets[bucket, default: []].append(number) }
        }
        // Numbers were appended in ascending order, so each bucket is read only as far as needed.
        var found: Set<Int> = []
        for bucket in fingerprints[number].buckets {
            found.formUnion((buckets[bucket] ?? []).prefix { $0 < number })
        }
        return found.sorted().map { fingerprints[$0] }
    }

    /// The number of fingerprints that were inserted.
    ///
    /// - Returns: The number.
    public func count() -> Int {
        fingerprints.count
    }
}

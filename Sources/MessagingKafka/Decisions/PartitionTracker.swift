#if Kafka
/// Which messages of one partition are finished, whatever the order they end in.
///
/// The offset to commit is that of the lowest unfinished message; what is finished above it goes into the note.
struct PartitionTracker: Sendable {
    /// The lowest unfinished offset; `nil` until it is known where the partition begins.
    private(set) var base: Int64?
    /// The next offset that has not been seen.
    private(set) var position: Int64?
    private(set) var finished: OffsetRuns
    /// Deliveries so far that ended without a result.
    private(set) var attempts: [Int64: Int]
    /// The highest offset that was handed over.
    var high: Int64
    /// Messages up to here may have been in flight when a member crashed, and are delivered one at a time; -1 for none.
    private(set) var suspectsEnd: Int64 = -1
    /// How far beyond what a crashed member told its successor is careful: it may have died before it could tell.
    static let caution: Int64 = 64

    /// Goes on where another member ended.
    ///
    /// - Parameters:
    ///   - committed: The committed offset; `nil` when there is none.
    ///   - note: What was committed with it.
    init(committed: Int64?, note: CommitNote = CommitNote()) {
        base = committed
        position = committed
        finished = note.finished
        attempts = note.attempts
        high = note.high
        guard let base else { return }
        if note.isOpen {
            if let suspect = note.suspect {
                attempts[suspect, default: 0] += 1
            } else if note.high >= base {
                // No more than a note could name; a member never holds more.
                for offset in base...min(note.high, base + 10_000) where !finished.contains(offset) {
                    attempts[offset, default: 0] += 1
                }
            }
            suspectsEnd = max(note.high, base + Self.caution - 1)
        }
        advance()
    }

    /// Takes notice of a message that was read.
    ///
    /// - Returns: Whether it is to be delivered: `false` for one that is finished or was seen before.
    mutating func admit(_ offset: Int64) -> Bool {
        if base == nil { base = offset }
        if let position, offset < position { return false }
        // What the partition does not have (removed, compacted, marks of transactions) never comes.
        if let position, offset > position { finished.insert(position..<offset) }
        position = offset + 1
        if finished.isEmpty { return true }
        let isNew = !finished.contains(offset)
        advance()
        return isNew
    }

    /// Notes that a message needs nothing more.
    mutating func finish(_ offset: Int64) {
        guard let base, offset >= base else { return }
        if offset == base, finished.isEmpty, attempts.isEmpty, let position, offset < position {
            // As most messages end: in order.
            self.base = offset + 1
            return
        }
        finished.insert(offset)
        attempts[offset] = nil
        advance()
    }

    /// Notes that messages need nothing more, whether or not they were seen.
    mutating func finish(_ range: Range<Int64>) {
        guard let base, range.upperBound > base else { return }
        finished.insert(max(base, range.lowerBound)..<range.upperBound)
        attempts = attempts.filter { !range.contains($0.key) }
        advance()
    }

    private mutating func advance() {
        guard let base, let position else { return }
        let next = min(finished.firstGap(from: base), max(position, base))
        guard next > base else { return }
        self.base = next
        finished.removeBelow(next)
        if !attempts.isEmpty { attempts = attempts.filter { $0.key >= next } }
    }

    /// Counts a delivery that ended without a result.
    mutating func count(_ offset: Int64) { attempts[offset, default: 0] += 1 }

    /// Whether a message may have been in flight when a member crashed.
    func isSuspect(_ offset: Int64) -> Bool { offset <= suspectsEnd }

    /// Whether the note is so long that nothing more should be read.
    ///
    /// A run takes at most six bytes while offsets are near each other, and base64 a third more.
    var isNearlyFull: Bool { (finished.runs.count * 4 + attempts.count * 3) * 4 / 3 >= CommitNote.nearlyFull }

    /// Whether so much room is free again that reading may go on.
    var hasRoom: Bool { (finished.runs.count * 4 + attempts.count * 3) * 4 / 3 < CommitNote.nearlyFull / 2 }
}
#endif

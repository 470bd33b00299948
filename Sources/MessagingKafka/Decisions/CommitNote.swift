#if Kafka
import Foundation

/// What is committed along with an offset: which messages above it are finished, which were tried, and whether the
/// member left in order.
///
/// `docs/kafka.md` describes it.
struct CommitNote: Sendable, Equatable {
    /// A broker refuses a longer one (`offset.metadata.max.bytes`).
    static let limit = 4096
    /// From here on a partition takes no further messages.
    static let nearlyFull = limit * 3 / 4

    /// Whether a member works on the partition; a note that still says so when the next member comes is a crash's.
    var isOpen = false
    /// Which declaration of the queue it is about; what is committed outlives the topics on some brokers.
    var made: Int64 = 0
    /// The highest offset that was handed over; -1 for none.
    var high: Int64 = -1
    /// The one message that may be in flight, of those that were when a member crashed.
    var suspect: Int64?
    /// How many messages are in flight.
    var inFlight = 0
    /// When the oldest unfinished message was published, in milliseconds since 1970.
    var oldest: Int64?
    /// Up to where the member knows the reservations and keeps to them; in topics of what waits.
    var reservations: Int64 = 0
    /// Finished messages above the committed offset.
    var finished = OffsetRuns()
    /// Deliveries so far that ended without a result, of unfinished messages.
    var attempts: [Int64: Int] = [:]

    // MARK: - Writing

    /// Writes the note for a committed offset.
    ///
    /// What does not fit is left out: attempts before finished messages, and those last that are far from the offset.
    func text(base: Int64, limit: Int = CommitNote.limit) -> String {
        var text = "mq1;o=\(isOpen ? 1 : 0);h=\(high);q=\(made)"
        if let suspect { text += ";s=\(suspect)" }
        if inFlight > 0 { text += ";i=\(inFlight)" }
        if let oldest { text += ";t=\(oldest)" }
        // Only with all that is finished: whoever finds a message reserved and not finished takes it.
        let known = reservations > 0 ? ";r=\(reservations)" : ""
        var isCut = false
        if !finished.isEmpty {
            var bytes: [UInt8] = []
            var last = base
            for run in finished.runs where run.lowerBound >= base {
                var next = bytes
                Self.write(UInt64(run.lowerBound - last), &next)
                Self.write(UInt64(run.count), &next)
                guard text.utf8.count + known.utf8.count + 3 + Self.encodedLength(next.count) <= limit else {
                    isCut = true
                    break
                }
                bytes = next
                last = run.upperBound
            }
            if !bytes.isEmpty { text += ";f=" + Data(bytes).base64EncodedString() }
        }
        if !isCut { text += known }
        if !attempts.isEmpty {
            var bytes: [UInt8] = []
            var last = base
            for (offset, count) in attempts.sorted(by: { $0.key < $1.key }) where offset >= base {
                var next = bytes
                Self.write(UInt64(offset - last), &next)
                Self.write(UInt64(max(0, count)), &next)
                guard text.utf8.count + 3 + Self.encodedLength(next.count) <= limit else { break }
                bytes = next
                last = offset
            }
            if !bytes.isEmpty { text += ";a=" + Data(bytes).base64EncodedString() }
        }
        return text
    }

    private static func encodedLength(_ count: Int) -> Int { (count + 2) / 3 * 4 }

    private static func write(_ value: UInt64, _ bytes: inout [UInt8]) {
        var value = value
        while value >= 0x80 {
            bytes.append(UInt8(truncatingIfNeeded: value) | 0x80)
            value >>= 7
        }
        bytes.append(UInt8(value))
    }

    // MARK: - Reading

    /// Reads a note; what is not ours or broken says nothing, and then messages come again rather than be skipped.
    init(_ text: String?, base: Int64) {
        self.init()
        guard let text, base >= 0 else { return }
        let fields = text.split(separator: ";")
        guard fields.first == "mq1" else { return }
        for field in fields.dropFirst() {
            guard let mark = field.firstIndex(of: "=") else { continue }
            let value = field[field.index(after: mark)...]
            switch field[..<mark] {
            case "o": isOpen = value == "1"
            case "h": high = Int64(value) ?? -1
            case "q": made = Int64(value) ?? 0
            case "s": suspect = Int64(value).flatMap { $0 >= base ? $0 : nil }
            case "i": inFlight = max(0, Int(value) ?? 0)
            case "t": oldest = Int64(value)
            case "r": reservations = max(0, Int64(value) ?? 0)
            case "f": readFinished(value, base)
            case "a": readAttempts(value, base)
            default: break
            }
        }
    }

    init() {}

    /// Leaves out what was committed for an earlier queue of the same name.
    ///
    /// An offset without a note of ours was set by somebody's tool, and counts.
    static func current(_ position: KafkaPosition, made: Int64) -> KafkaPosition {
        guard position.offset >= 0, position.metadata?.hasPrefix("mq1;") == true,
            CommitNote(position.metadata, base: position.offset).made != made
        else { return position }
        return KafkaPosition(place: position.place, offset: KafkaPosition.none)
    }

    private mutating func readFinished(_ text: Substring, _ base: Int64) {
        var numbers = Self.numbers(text)[...]
        var offset = base
        var found = OffsetRuns()
        while let gap = numbers.popFirst(), let length = numbers.popFirst() {
            guard let (start, end) = Self.range(offset, gap, length) else { return }
            found.insert(start..<end)
            offset = end
        }
        finished = found
    }

    private mutating func readAttempts(_ text: Substring, _ base: Int64) {
        var numbers = Self.numbers(text)[...]
        var offset = base
        var found: [Int64: Int] = [:]
        while let gap = numbers.popFirst(), let count = numbers.popFirst() {
            guard let (start, _) = Self.range(offset, gap, 0) else { return }
            found[start] = Int(clamping: min(count, 1 << 20))
            offset = start
        }
        attempts = found
    }

    private static func range(_ offset: Int64, _ gap: UInt64, _ length: UInt64) -> (Int64, Int64)? {
        guard let gap = Int64(exactly: gap), let length = Int64(exactly: length) else { return nil }
        let (start, isOver) = offset.addingReportingOverflow(gap)
        let (end, isOverToo) = start.addingReportingOverflow(length)
        return isOver || isOverToo ? nil : (start, end)
    }

    /// The numbers of a base64 text; none when it is broken.
    private static func numbers(_ text: Substring) -> [UInt64] {
        guard let data = Data(base64Encoded: String(text)) else { return [] }
        var numbers: [UInt64] = []
        var (value, shift): (UInt64, UInt64) = (0, 0)
        for byte in data {
            guard shift < 63 else { return [] }
            value |= UInt64(byte & 0x7F) << shift
            shift += 7
            if byte < 0x80 {
                numbers.append(value)
                (value, shift) = (0, 0)
            }
        }
        return shift == 0 ? numbers : []
    }
}
#endif

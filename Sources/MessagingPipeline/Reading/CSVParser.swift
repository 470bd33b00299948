/// Splits CSV into records, as its bytes arrive.
///
/// The grammar is that of RFC 4180 (https://www.rfc-editor.org/rfc/rfc4180) in UTF-8, and beyond it a byte order mark, a
/// lone LF or CR as the end of a record, and blank lines, which are skipped without being counted.
///
/// What breaks the grammar makes one malformed record, after which the parser finds its way back like this:
/// - After a quote inside an unquoted field, and after anything but a comma or a line break behind a closing quote,
///   the next record starts after the next line break, quoted or not.
/// - A record larger than the limit ends where it would have ended anyway; no more than the limit is ever kept.
/// - A quoted field that is never closed takes in what follows, for nothing tells its line breaks from meant ones. The
///   next quote closes it, and the first rule applies; without one it lasts until the end of the input.
public struct CSVParser: Sendable {
    /// The limit of the size of a record unless another is given: 1 MiB.
    public static let defaultRecordLimit = 1 << 20

    private enum State { case fieldStart, unquoted, quoted, quoteInQuoted, skipping, finished }

    private let source: String?
    private let recordLimit: Int
    private var mark = ByteOrderMark()
    private var lines: LineCounter
    private var state = State.fieldStart
    private var isAfterCarriageReturn = false
    private var number = 0
    private var recordLine = 1
    private var isInRecord = false
    private var size = 0
    // The bytes of all fields of the record in one buffer, and where each field ends in it.
    private var buffer: [UInt8] = []
    private var ends: [Int] = []

    /// Creates a parser at the start of an input.
    ///
    /// - Parameters:
    ///   - source: The name of the input, for what is malformed in it.
    ///   - recordLimit: The largest record that is accepted, in bytes of its fields and the commas between them.
    public init(source: String? = nil, recordLimit: Int = defaultRecordLimit) {
        self.init(source: source, recordLimit: recordLimit, line: 1)
    }

    init(source: String?, recordLimit: Int, line: Int) {
        self.source = source
        self.recordLimit = recordLimit
        lines = LineCounter(startingAt: line)
    }

    /// Takes in the next bytes of the input.
    ///
    /// - Parameter bytes: The bytes, cut anywhere.
    /// - Returns: The records that ended within them, in order.
    public mutating func feed(_ bytes: some Sequence<UInt8>) -> [Parsed<CSVRecord>] {
        var results: [Parsed<CSVRecord>] = []
        for byte in mark.strip(bytes) { step(byte, &results) }
        return results
    }

    /// Takes in the end of the input; bytes fed later are ignored.
    ///
    /// - Returns: The last record, when no line break ended it.
    public mutating func finish() -> [Parsed<CSVRecord>] {
        var results: [Parsed<CSVRecord>] = []
        for byte in mark.finish() { step(byte, &results) }
        switch state {
        case .quoted: results.append(fail("unterminated quoted field"))
        case .unquoted, .quoteInQuoted: endRecord(&results)
        case .fieldStart where isInRecord: endRecord(&results)
        case .fieldStart, .skipping, .finished: break
        }
        reset()
        state = .finished
        return results
    }

    private mutating func step(_ byte: UInt8, _ results: inout [Parsed<CSVRecord>]) {
        let line = lines.line
        lines.see(byte)
        let isSecondOfLineBreak = byte == 0x0A && isAfterCarriageReturn
        isAfterCarriageReturn = byte == 0x0D
        let isLineBreak = byte == 0x0A || byte == 0x0D

        switch state {
        case .finished:
            return
        case .skipping:
            if isLineBreak { reset() }
            return
        case .quoted:
            if byte == Self.quote { state = .quoteInQuoted } else { append(byte) }
            return
        case .quoteInQuoted where byte == Self.quote:
            append(byte)
            state = .quoted
            return
        case .quoteInQuoted, .unquoted, .fieldStart:
            break
        }

        if !isInRecord {
            // The LF of a CRLF, or a blank line.
            if isSecondOfLineBreak || isLineBreak { return }
            isInRecord = true
            number += 1
            recordLine = line
        }
        switch (byte, state) {
        case (Self.comma, _):
            endField()
            size += 1
            state = .fieldStart
        case (0x0A, _), (0x0D, _):
            endRecord(&results)
        case (Self.quote, .fieldStart):
            state = .quoted
        case (Self.quote, _):
            skip(fail("quote inside an unquoted field"), &results)
        case (_, .quoteInQuoted):
            skip(fail("text after the closing quote of a field"), &results)
        default:
            append(byte)
            state = .unquoted
        }
    }

    private mutating func append(_ byte: UInt8) {
        size += 1
        if size <= recordLimit { buffer.append(byte) }
    }

    private mutating func endField() {
        if size <= recordLimit { ends.append(buffer.count) }
    }

    private mutating func endRecord(_ results: inout [Parsed<CSVRecord>]) {
        endField()
        results.append(makeRecord())
        reset()
    }

    private mutating func skip(_ malformed: Parsed<CSVRecord>, _ results: inout [Parsed<CSVRecord>]) {
        results.append(malformed)
        state = .skipping
    }

    private func makeRecord() -> Parsed<CSVRecord> {
        if size > recordLimit { return fail("record larger than \(recordLimit) bytes") }
        var fields: [String] = []
        fields.reserveCapacity(ends.count)
        var start = 0
        for end in ends {
            guard let field = String(validating: buffer[start..<end], as: UTF8.self) else {
                return fail("invalid UTF-8")
            }
            fields.append(field)
            start = end
        }
        return .record(CSVRecord(number: number, line: recordLine, fields: fields))
    }

    private func fail(_ reason: String) -> Parsed<CSVRecord> {
        .malformed(MalformedRecord(source: source, record: number, line: recordLine, reason: reason))
    }

    private mutating func reset() {
        buffer.removeAll(keepingCapacity: buffer.capacity <= 1 << 16)
        ends.removeAll(keepingCapacity: ends.capacity <= 1 << 10)
        size = 0
        isInRecord = false
        state = .fieldStart
    }

    private static let quote = UInt8(ascii: "\"")
    private static let comma = UInt8(ascii: ",")
}

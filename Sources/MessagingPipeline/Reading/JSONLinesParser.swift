/// Splits JSON Lines (https://jsonlines.org) into the values of its lines, as its bytes arrive.
///
/// A line ends with LF or CRLF. Blank lines are skipped without being counted. A line over the limit is malformed, and
/// no more than the limit is ever kept. The values are not looked into.
public struct JSONLinesParser: Sendable {
    /// The limit of the size of a line unless another is given: 1 MiB.
    public static let defaultLineLimit = 1 << 20

    private let source: String?
    private let lineLimit: Int
    private var mark = ByteOrderMark()
    private var line: Int
    private var number = 0
    private var size = 0
    private var buffer: [UInt8] = []
    private var isFinished = false

    /// Creates a parser at the start of an input.
    ///
    /// - Parameters:
    ///   - source: The name of the input, for what is malformed in it.
    ///   - lineLimit: The largest line that is accepted, in bytes without the whitespace before its value.
    public init(source: String? = nil, lineLimit: Int = defaultLineLimit) {
        self.init(source: source, lineLimit: lineLimit, line: 1)
    }

    init(source: String?, lineLimit: Int, line: Int) {
        self.source = source
        self.lineLimit = lineLimit
        self.line = line
    }

    /// Takes in the next bytes of the input.
    ///
    /// - Parameter bytes: The bytes, cut anywhere.
    /// - Returns: The values of the lines that ended within them, in order.
    public mutating func feed(_ bytes: some Sequence<UInt8>) -> [Parsed<JSONRecord>] {
        var results: [Parsed<JSONRecord>] = []
        if isFinished { return results }
        for byte in mark.strip(bytes) { step(byte, &results) }
        return results
    }

    /// Takes in the end of the input; bytes fed later are ignored.
    ///
    /// - Returns: The value of the last line, when no line break ended it.
    public mutating func finish() -> [Parsed<JSONRecord>] {
        var results: [Parsed<JSONRecord>] = []
        if isFinished { return results }
        for byte in mark.finish() { step(byte, &results) }
        endLine(&results)
        isFinished = true
        return results
    }

    private mutating func step(_ byte: UInt8, _ results: inout [Parsed<JSONRecord>]) {
        if byte == 0x0A {
            endLine(&results)
            line += 1
        } else if size > 0 || !JSONArrayParser.isWhitespace(byte) {
            size += 1
            if size <= lineLimit { buffer.append(byte) }
        }
    }

    private mutating func endLine(_ results: inout [Parsed<JSONRecord>]) {
        guard size > 0 else { return }
        number += 1
        if size > lineLimit {
            let reason = "line larger than \(lineLimit) bytes"
            results.append(.malformed(MalformedRecord(source: source, record: number, line: line, reason: reason)))
        } else {
            while let last = buffer.last, JSONArrayParser.isWhitespace(last) { buffer.removeLast() }
            results.append(.record(JSONRecord(number: number, line: line, bytes: buffer)))
        }
        buffer.removeAll(keepingCapacity: buffer.capacity <= 1 << 16)
        size = 0
    }
}

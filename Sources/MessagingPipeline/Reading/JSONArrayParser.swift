/// Splits a JSON array into its elements, as its bytes arrive.
///
/// Only strings and brackets are followed; whether an element is valid JSON shows when it is decoded. An element over the
/// limit or with brackets that do not match is malformed, as is an empty one (`[1,,2]`, `[1,]`), and the parser goes on:
/// - A closing bracket that does not match closes everything up to the bracket it belongs to, or, when the element has
///   none, the innermost open one.
/// - A line break inside a string (JSON has none, RFC 8259 section 7) means that its closing quote is missing: the next
///   element starts at the next line that begins with `{`, and the array ends at one that begins with `]`.
///
/// An array that is not closed and text after its end are reported once, as one more malformed record. An input that does
/// not begin with `[` is reported once, and nothing else of it is read.
public struct JSONArrayParser: Sendable {
    /// The limit of the size of an element unless another is given: 1 MiB.
    public static let defaultElementLimit = 1 << 20
    /// The depth of brackets up to which they are checked to match.
    static let depthLimit = 512

    private enum State { case start, betweenElements, element, recovering, afterArray, finished }

    private let source: String?
    private let elementLimit: Int
    private var mark = ByteOrderMark()
    private var lines: LineCounter
    private var state = State.start
    private var number = 0
    private var isAfterComma = false

    // Of the element being read.
    private var elementLine = 1
    private var size = 0
    private var buffer: [UInt8] = []
    private var open: [UInt8] = []
    private var unchecked = 0
    private var isInString = false
    private var isEscaped = false
    private var failure: String?
    private var isAtLineStart = false

    /// Creates a parser at the start of an input.
    ///
    /// - Parameters:
    ///   - source: The name of the input, for what is malformed in it.
    ///   - elementLimit: The largest element that is accepted, in bytes.
    public init(source: String? = nil, elementLimit: Int = defaultElementLimit) {
        self.init(source: source, elementLimit: elementLimit, line: 1)
    }

    init(source: String?, elementLimit: Int, line: Int) {
        self.source = source
        self.elementLimit = elementLimit
        lines = LineCounter(startingAt: line)
    }

    /// Takes in the next bytes of the input.
    ///
    /// - Parameter bytes: The bytes, cut anywhere.
    /// - Returns: The elements that ended within them, in order.
    public mutating func feed(_ bytes: some Sequence<UInt8>) -> [Parsed<JSONRecord>] {
        var results: [Parsed<JSONRecord>] = []
        for byte in mark.strip(bytes) {
            step(byte, line: lines.line, &results)
            lines.see(byte)
        }
        return results
    }

    /// Takes in the end of the input; bytes fed later are ignored.
    ///
    /// - Returns: What an array that is not closed leaves behind.
    public mutating func finish() -> [Parsed<JSONRecord>] {
        var results: [Parsed<JSONRecord>] = []
        for byte in mark.finish() { step(byte, line: lines.line, &results) }
        switch state {
        case .start:
            results.append(report("not a JSON array: the input is empty", line: lines.line))
        case .betweenElements, .recovering:
            results.append(report("the array is not closed", line: lines.line))
        case .element:
            // An object or array that is closed itself is whole; a number may have lost digits.
            if open.isEmpty && !isInString && buffer.last.map({ $0 == 0x5D || $0 == 0x7D }) ?? false {
                endElement(&results)
                results.append(report("the array is not closed", line: lines.line))
            } else {
                failure = "the array ends inside this element"
                endElement(&results)
            }
        case .afterArray, .finished: break
        }
        state = .finished
        return results
    }

    static func isWhitespace(_ byte: UInt8) -> Bool {
        byte == 0x20 || byte == 0x09 || byte == 0x0A || byte == 0x0D
    }

    private mutating func step(_ byte: UInt8, line: Int, _ results: inout [Parsed<JSONRecord>]) {
        switch state {
        case .finished:
            break
        case .start:
            if Self.isWhitespace(byte) { break }
            state = byte == UInt8(ascii: "[") ? .betweenElements : .finished
            if state == .finished { results.append(report("not a JSON array", line: line)) }
        case .afterArray:
            if Self.isWhitespace(byte) { break }
            results.append(report("text after the end of the array", line: line))
            state = .finished
        case .recovering:
            recover(byte, line: line, &results)
        case .betweenElements:
            startElement(byte, line: line, &results)
        case .element:
            continueElement(byte, &results)
        }
    }

    private mutating func startElement(_ byte: UInt8, line: Int, _ results: inout [Parsed<JSONRecord>]) {
        if Self.isWhitespace(byte) { return }
        if byte == UInt8(ascii: ",") {
            results.append(report("empty element", line: line))
            isAfterComma = true
        } else if byte == UInt8(ascii: "]") {
            if isAfterComma { results.append(report("empty element", line: line)) }
            state = .afterArray
        } else {
            state = .element
            elementLine = line
            number += 1
            continueElement(byte, &results)
        }
    }

    private mutating func continueElement(_ byte: UInt8, _ results: inout [Parsed<JSONRecord>]) {
        if isInString {
            if byte == 0x0A || byte == 0x0D {
                failure = failure ?? "unterminated string"
                endElement(&results)
                state = .recovering
                isAtLineStart = true
                return
            }
            if isEscaped {
                isEscaped = false
            } else if byte == UInt8(ascii: "\\") {
                isEscaped = true
            } else if byte == UInt8(ascii: "\"") {
                isInString = false
            }
        } else {
            switch byte {
            case UInt8(ascii: "\""): isInString = true
            case UInt8(ascii: "["), UInt8(ascii: "{"): push(byte)
            case UInt8(ascii: "]") where open.isEmpty:
                endElement(&results)
                state = .afterArray
                return
            case UInt8(ascii: ",") where open.isEmpty:
                endElement(&results)
                isAfterComma = true
                return
            case UInt8(ascii: "]"): pop(UInt8(ascii: "["))
            case UInt8(ascii: "}"): pop(UInt8(ascii: "{"))
            default: break
            }
        }
        size += 1
        if size > elementLimit {
            failure = failure ?? "element larger than \(elementLimit) bytes"
        } else {
            buffer.append(byte)
        }
    }

    private mutating func push(_ bracket: UInt8) {
        if open.count < Self.depthLimit {
            open.append(bracket)
        } else {
            // Only counted, so that what is kept is bounded; the element is lost in any case.
            unchecked += 1
            failure = failure ?? "nested deeper than \(Self.depthLimit) brackets"
        }
    }

    private mutating func pop(_ bracket: UInt8) {
        if unchecked > 0 {
            unchecked -= 1
            return
        }
        if open.last == bracket {
            open.removeLast()
            return
        }
        failure = failure ?? "brackets do not match"
        if let index = open.lastIndex(of: bracket) { open.removeSubrange(index...) } else { _ = open.popLast() }
    }

    private mutating func recover(_ byte: UInt8, line: Int, _ results: inout [Parsed<JSONRecord>]) {
        if byte == 0x0A || byte == 0x0D {
            isAtLineStart = true
        } else if !Self.isWhitespace(byte) {
            if isAtLineStart && (byte == UInt8(ascii: "{") || byte == UInt8(ascii: "]")) {
                isAfterComma = false
                startElement(byte, line: line, &results)
            }
            isAtLineStart = false
        }
    }

    private mutating func endElement(_ results: inout [Parsed<JSONRecord>]) {
        if let failure {
            results.append(
                .malformed(MalformedRecord(source: source, record: number, line: elementLine, reason: failure))
            )
        } else {
            while let last = buffer.last, Self.isWhitespace(last) { buffer.removeLast() }
            results.append(.record(JSONRecord(number: number, line: elementLine, bytes: buffer)))
        }
        buffer.removeAll(keepingCapacity: buffer.capacity <= 1 << 16)
        open.removeAll(keepingCapacity: true)
        unchecked = 0
        size = 0
        isInString = false
        isEscaped = false
        failure = nil
        state = .betweenElements
        isAfterComma = false
    }

    private mutating func report(_ reason: String, line: Int) -> Parsed<JSONRecord> {
        number += 1
        return .malformed(MalformedRecord(source: source, record: number, line: line, reason: reason))
    }
}

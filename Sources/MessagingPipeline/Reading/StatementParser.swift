/// Reads statements from CSV, a JSON array or JSON Lines, as the bytes of the input arrive.
///
/// The columns of CSV and the members of JSON objects go by these names, in any case; of several the first one listed
/// that has a value counts:
/// - the id: `id`, `tweet_id`, `id_str`, `guid`, `statement_id`,
/// - the text: `text`, `full_text`, `content`, `statement`, `body`, `message`,
/// - the time: `created_at`, `date`, `timestamp`, `published_at`, `time`, as ``StatementDate/parse(_:)`` understands it,
/// - where it was found, unless the parser is told: `source`.
///
/// A record without an id gets ``Statement/derivedID(createdAt:text:)``. So does one whose id is in exponent notation
/// (`7.02608E+17`): a spreadsheet has rounded it, and different statements may share what is left. CSV records need as
/// many fields as the header. Records that cannot be used are reported and skipped.
public struct StatementParser: Sendable {
    /// How statements are written down.
    public enum Format: String, Sendable, Hashable, CaseIterable {
        /// Comma-separated values with a header.
        case csv
        /// One JSON array of objects.
        case jsonArray
        /// One JSON object a line.
        case jsonLines
    }

    private enum Splitter {
        case undecided
        case csv(CSVParser)
        case jsonArray(JSONArrayParser)
        case jsonLines(JSONLinesParser)
        case finished
    }

    private let format: Format?
    private let source: String?
    private let builder: StatementBuilder
    private var mark = ByteOrderMark()
    private var lines = LineCounter()
    private var splitter = Splitter.undecided
    private var columns: StatementColumns?

    /// Creates a parser at the start of an input.
    ///
    /// - Parameters:
    ///   - format: How the statements are written down; nil to tell by the first byte that is not blank, which is `[` for
    ///     a JSON array, `{` for JSON Lines and anything else for CSV.
    ///   - source: The name of the input, for its statements and for what is malformed in it.
    public init(format: Format?, source: String?) {
        self.init(format: format, source: source, identity: nil)
    }

    /// Creates a parser for an input with ids of its own: `identity` makes ids of statements of them.
    init(format: Format?, source: String?, identity: SourceIdentity?) {
        self.format = format
        self.source = source
        builder = StatementBuilder(source: source, identity: identity)
    }

    /// Takes in the next bytes of the input.
    ///
    /// - Parameter bytes: The bytes, cut anywhere.
    /// - Returns: What became of the records that ended within them, in order. An input that cannot be used at all, such
    ///   as CSV without a column for the text, gives one malformed record and then nothing more.
    public mutating func feed(_ bytes: [UInt8]) -> [ReadResult] {
        split(mark.strip(bytes))
    }

    /// Takes in the end of the input; bytes fed later are ignored.
    ///
    /// - Returns: What became of the records that only the end of the input ended.
    public mutating func finish() -> [ReadResult] {
        var results = split(mark.finish())
        if case .undecided = splitter, let format { begin(format) }
        switch splitter {
        case .csv(var parser): results += read(parser.finish())
        case .jsonArray(var parser): results += read(parser.finish())
        case .jsonLines(var parser): results += read(parser.finish())
        case .undecided, .finished: break
        }
        splitter = .finished
        return results
    }

    private mutating func split(_ bytes: [UInt8]) -> [ReadResult] {
        var rest = bytes[...]
        if case .undecided = splitter {
            // Blanks are not passed on, only counted, so that none are kept while the format is open.
            while let byte = rest.first, JSONArrayParser.isWhitespace(byte) {
                lines.see(byte)
                rest.removeFirst()
            }
            guard let first = rest.first else { return [] }
            begin(format ?? Self.sniff(first))
        }
        // The parser is moved out of the enumeration while it changes, or its buffers would be copied.
        let current = splitter
        splitter = .finished
        switch consume current {
        case .csv(var parser):
            let parts = parser.feed(rest)
            splitter = .csv(parser)
            return read(parts)
        case .jsonArray(var parser):
            let parts = parser.feed(rest)
            splitter = .jsonArray(parser)
            return read(parts)
        case .jsonLines(var parser):
            let parts = parser.feed(rest)
            splitter = .jsonLines(parser)
            return read(parts)
        case .undecided, .finished:
            return []
        }
    }

    private static func sniff(_ byte: UInt8) -> Format {
        switch byte {
        case UInt8(ascii: "["): .jsonArray
        case UInt8(ascii: "{"): .jsonLines
        default: .csv
        }
    }

    private mutating func begin(_ format: Format) {
        let line = lines.line
        switch format {
        case .csv:
            splitter = .csv(CSVParser(source: source, recordLimit: CSVParser.defaultRecordLimit, line: line))
        case .jsonArray:
            let limit = JSONArrayParser.defaultElementLimit
            splitter = .jsonArray(JSONArrayParser(source: source, elementLimit: limit, line: line))
        case .jsonLines:
            splitter = .jsonLines(
                JSONLinesParser(source: source, lineLimit: JSONLinesParser.defaultLineLimit, line: line)
            )
        }
    }

    private mutating func read(_ parts: [Parsed<CSVRecord>]) -> [ReadResult] {
        var results: [ReadResult] = []
        for part in parts {
            if case .finished = splitter { break }
            switch (part, columns) {
            case (.malformed(let malformed), nil):
                results.append(.malformed(unusable("the header is malformed: \(malformed.reason)", malformed.line)))
                splitter = .finished
            case (.malformed(let malformed), _):
                results.append(.malformed(malformed))
            case (.record(let record), nil):
                columns = StatementColumns(header: record.fields)
                if columns == nil {
                    results.append(.malformed(unusable("the header has no column for the text", record.line)))
                    splitter = .finished
                }
            case (.record(let record), let columns?):
                results.append(builder.build(record, columns))
            }
        }
        return results
    }

    private func unusable(_ reason: String, _ line: Int) -> MalformedRecord {
        MalformedRecord(source: source, record: 1, line: line, reason: reason)
    }

    private func read(_ parts: [Parsed<JSONRecord>]) -> [ReadResult] {
        parts.map { part in
            switch part {
            case .malformed(let malformed): .malformed(malformed)
            case .record(let record): builder.build(record)
            }
        }
    }
}

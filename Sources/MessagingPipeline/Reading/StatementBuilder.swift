import Foundation

/// Makes statements of records, and says what is wrong with the ones that make none.
struct StatementBuilder: Sendable {
    /// The longest id that is accepted, in bytes: ids become keys of stores and parts of addresses.
    static let idLimit = 256

    private struct Failure: Error {
        let reason: String
    }

    private let source: String?
    /// Whose ids these are, when they are not meant for all inputs.
    private let identity: SourceIdentity?

    init(source: String?, identity: SourceIdentity? = nil) {
        self.source = source
        self.identity = identity
    }

    func build(_ record: CSVRecord, _ columns: StatementColumns) -> ReadResult {
        build(number: record.number, line: record.line) { () throws(Failure) in
            guard record.fields.count == columns.count else {
                throw Failure(reason: "\(columns.count) fields are expected, not \(record.fields.count)")
            }
            let value = { (indices: [Int]) in
                indices.lazy.map { record.fields[$0] }.first { !Self.isBlank($0) }
            }
            return try makeStatement(
                id: value(columns.id),
                text: value(columns.text),
                date: value(columns.date),
                source: value(columns.source)
            )
        }
    }

    func build(_ record: JSONRecord) -> ReadResult {
        build(number: record.number, line: record.line) { () throws(Failure) in
            let members: [String: FlatJSONObject.Value]
            do throws(FlatJSONObject.Failure) {
                members = try FlatJSONObject(record.bytes).members
            } catch {
                throw Failure(reason: error.reason)
            }
            return try makeStatement(
                id: scalar(StatementColumns.idNames, members),
                text: scalar(StatementColumns.textNames, members, numbers: false),
                date: scalar(StatementColumns.dateNames, members),
                source: scalar(StatementColumns.sourceNames, members, numbers: false)
            )
        }
    }

    private func build(number: Int, line: Int, _ make: () throws(Failure) -> Statement) -> ReadResult {
        do throws(Failure) {
            return .statement(try make())
        } catch {
            return .malformed(MalformedRecord(source: source, record: number, line: line, reason: error.reason))
        }
    }

    /// The first of the members that has a value.
    private func scalar(
        _ names: [String],
        _ members: [String: FlatJSONObject.Value],
        numbers: Bool = true
    ) throws(Failure) -> String? {
        for name in names {
            switch members[name] {
            case .string(let text):
                if !Self.isBlank(text) { return text }
            case .number(let digits) where numbers:
                return digits
            case nil, .null:
                break
            default:
                throw Failure(reason: "\(name) is neither a string nor null")
            }
        }
        return nil
    }

    private func makeStatement(
        id: String?,
        text: String?,
        date: String?,
        source: String?
    ) throws(Failure) -> Statement {
        guard let text else { throw Failure(reason: "empty text") }
        let createdAt = date.flatMap(StatementDate.parse)
        if let date, createdAt == nil {
            throw Failure(reason: "date not understood: \(String(date.unicodeScalars.prefix(40)).debugDescription)")
        }
        var name = id?.trimmingCharacters(in: .whitespacesAndNewlines)
        if let given = name {
            guard given.utf8.count <= Self.idLimit else {
                throw Failure(reason: "id longer than \(Self.idLimit) bytes")
            }
            guard given.unicodeScalars.allSatisfy({ $0.properties.generalCategory != .control }) else {
                throw Failure(reason: "id with a control character")
            }
            name = Self.isRounded(given) ? nil : identity.map { $0.statementID(given) } ?? given
        }
        return Statement(
            id: name ?? Statement.derivedID(createdAt: createdAt, text: text),
            createdAt: createdAt,
            text: text,
            source: self.source ?? source
        )
    }

    private static func isBlank(_ text: String) -> Bool {
        text.unicodeScalars.allSatisfy(\.properties.isWhitespace)
    }

    /// Whether an id is a number in exponent notation, such as `7.02608E+17`.
    private static func isRounded(_ id: String) -> Bool {
        var rest = Array(id.utf8)[...]
        let skipDigits = { (rest: inout ArraySlice<UInt8>) in
            let digits = rest.prefix { (0x30...0x39).contains($0) }.count
            rest = rest.dropFirst(digits)
            return digits > 0
        }
        guard skipDigits(&rest) else { return false }
        if rest.first == UInt8(ascii: ".") {
            rest = rest.dropFirst()
            guard skipDigits(&rest) else { return false }
        }
        guard rest.first == UInt8(ascii: "e") || rest.first == UInt8(ascii: "E") else { return false }
        rest = rest.dropFirst()
        // A dot or sign is needed, for 12e5 may well be hexadecimal.
        let hasSign = rest.first == UInt8(ascii: "+")
        if hasSign { rest = rest.dropFirst() }
        return skipDigits(&rest) && rest.isEmpty && (hasSign || id.contains("."))
    }
}

#if SQLite
import Messaging

/// A message as it is in a row.
struct MessageRow: Sendable {
    static let columns = "due, id, body, key, content_type, headers, published_at"
    /// How many columns that is.
    static let width: Int32 = 7

    let message: Message
    let publishedAt: Int64
    /// Why the row is no message, if it is none; the body is still its bytes.
    let problem: String?

    init(_ row: SQLRow, at first: Int32 = 0) {
        var problem: String?
        var headers = MessageHeaders()
        if row.isText(first + 5) {
            // Written by another program.
            if let object = HeaderCoding.decode(json: row.text(first + 5)) {
                headers = object
            } else {
                problem = "the headers are no JSON object of strings"
            }
        } else if !row.isNull(first + 5) {
            if let packed = HeaderCoding.decode(packed: row.bytes(first + 5)) {
                headers = packed
            } else {
                problem = "the headers cannot be decoded"
            }
        }
        message = Message(
            body: row.bytes(first + 2),
            id: MessageID(row.text(first + 1)),
            key: row.optionalText(first + 3),
            headers: headers,
            contentType: row.optionalText(first + 4),
            due: row.optionalInteger(first).map { .at(UnixTime.date($0)) }
        )
        publishedAt = row.integer(first + 6)
        self.problem = problem
    }
}

/// Headers in one value: `length name length value …`, each length four bytes with the lowest first.
enum HeaderCoding {
    static func encode(_ headers: MessageHeaders) -> [UInt8]? {
        if headers.isEmpty { return nil }
        var bytes: [UInt8] = []
        for header in headers {
            append(Array(header.name.utf8), &bytes)
            append(header.value, &bytes)
        }
        return bytes
    }

    static func decode(packed bytes: [UInt8]) -> MessageHeaders? {
        var headers = MessageHeaders()
        var rest = bytes[...]
        while !rest.isEmpty {
            guard let name = take(&rest), let value = take(&rest) else { return nil }
            headers.append(String(decoding: name, as: UTF8.self), Array(value))
        }
        return headers
    }

    static func decode(json text: String) -> MessageHeaders? {
        guard let object = JSONText.decode([String: String].self, from: text) else { return nil }
        var headers = MessageHeaders()
        for (name, value) in object.sorted(by: { $0.key < $1.key }) where !name.isEmpty {
            headers.append(name, Array(value.utf8))
        }
        return headers
    }

    private static func append(_ value: [UInt8], _ bytes: inout [UInt8]) {
        let length = UInt32(clamping: value.count)
        for shift in [0, 8, 16, 24] as [UInt32] { bytes.append(UInt8(truncatingIfNeeded: length >> shift)) }
        bytes += value
    }

    private static func take(_ rest: inout ArraySlice<UInt8>) -> ArraySlice<UInt8>? {
        guard rest.count >= 4 else { return nil }
        var length = 0
        for (index, byte) in rest.prefix(4).enumerated() { length |= Int(byte) << (8 * index) }
        rest = rest.dropFirst(4)
        guard rest.count >= length else { return nil }
        defer { rest = rest.dropFirst(length) }
        return rest.prefix(length)
    }
}
#endif

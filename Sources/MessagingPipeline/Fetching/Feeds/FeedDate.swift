import Foundation

/// Reads dates as feeds write them, which is more than ``StatementDate/parse(_:)`` takes.
enum FeedDate {
    /// The date of the first of the texts that is one.
    ///
    /// - Parameter texts: Dates as they are written, the most telling one first.
    /// - Returns: The date; nil when none is understood.
    static func first(_ texts: [String]) -> Date? {
        for text in texts {
            if let date = parse(text) { return date }
        }
        return nil
    }

    /// Reads one date.
    ///
    /// On top of the notations of ``StatementDate/parse(_:)`` these are understood: names of days that are wrong, in
    /// another language or lack their comma, zones by more names (`CEST`, `JST`) or as `GMT+2`, dashes for blanks, no
    /// time, the month before the day, ISO 8601 without separators or without a day, and a comment in parentheses.
    ///
    /// - Parameter text: The date as written.
    /// - Returns: The date; nil when it is not understood, or is one that programs write for a missing date.
    static func parse(_ text: String) -> Date? {
        guard text.utf8.count <= 128 else { return nil }
        let text = tidy(text)
        for candidate in [text, isoVariant(text), namedVariant(text)].compactMap(\.self) {
            guard let date = StatementDate.parse(candidate) else { continue }
            return isMissing(date) ? nil : date
        }
        return nil
    }

    /// 0001-01-01 and 1970-01-01T00:00:00Z are what a program makes of no date.
    private static func isMissing(_ date: Date) -> Bool {
        let milliseconds = StatementDate.milliseconds(date)
        return milliseconds == 0 || milliseconds < StatementDate.earliest + 2 * 86_400_000
    }

    private static func tidy(_ text: String) -> String {
        let withoutComment = text.firstIndex(of: "(").map { String(text[..<$0]) } ?? text
        return withoutComment.split { $0.isWhitespace || $0 == "\u{A0}" }.joined(separator: " ")
    }

    /// `20240131T101500Z`, `2024/01/31 10:15`, `2024-01` and `2024` as ISO 8601.
    private static func isoVariant(_ text: String) -> String? {
        let bytes = Array(text.utf8)
        let digits = bytes.prefix { isDigit($0) }.count
        let slice = { (range: Range<Int>) in String(decoding: bytes[range], as: UTF8.self) }
        switch (digits, bytes.count) {
        case (4, 4): return slice(0..<4) + "-01-01"
        case (4, 7) where bytes[4] == UInt8(ascii: "-"): return text + "-01"
        case (4, 8...): return bytes[4] == UInt8(ascii: "/") ? withZone(text.replacing("/", with: "-")) : withZone(text)
        case (8, 8): return "\(slice(0..<4))-\(slice(4..<6))-\(slice(6..<8))"
        case (8, 15...):
            guard bytes[8] | 0x20 == UInt8(ascii: "t"), bytes[9..<15].allSatisfy(isDigit) else { return nil }
            let date = "\(slice(0..<4))-\(slice(4..<6))-\(slice(6..<8))"
            return "\(date)T\(slice(9..<11)):\(slice(11..<13)):\(slice(13..<15))\(slice(15..<bytes.count))"
        default: return nil
        }
    }

    /// A date with the name of a month, as `d MMM yyyy HH:mm:ss zone`.
    private static func namedVariant(_ text: String) -> String? {
        var words = text.replacing(",", with: " ").split(separator: " ").map(String.init)
        if words.count == 1 || words.first.map({ $0.contains("-") && !$0.contains(":") }) == true {
            // 27-Aug-2008
            words = (words.first?.split(separator: "-").map(String.init) ?? []) + words.dropFirst()
        } else if words.count > 1, words[1].contains("-"), !words[1].contains(":") {
            // Sunday, 06-Nov-94 08:49:37 GMT
            words = [words[0]] + words[1].split(separator: "-").map(String.init) + words.dropFirst(2)
        }
        if let first = words.first, month(first) == nil, !first.utf8.contains(where: isDigit) { words.removeFirst() }
        guard words.count >= 3 else { return nil }
        if month(words[0]) != nil { words.swapAt(0, 1) }
        guard let name = month(words[1]) else { return nil }
        let day = words[0].prefix { $0.isNumber }
        guard (1...2).contains(day.utf8.count), day.utf8.allSatisfy(isDigit) else { return nil }
        let time = words.count > 3 && words[3].contains(":") ? words[3] : "00:00"
        let rest = words.dropFirst(words.count > 3 && words[3].contains(":") ? 4 : 3).joined(separator: " ")
        return withZone(["\(day)", name, words[2], time, rest].filter { !$0.isEmpty }.joined(separator: " "))
    }

    private static func month(_ word: String) -> String? {
        let names = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"]
        let lower = word.lowercased()
        return names.first { lower.hasPrefix($0.lowercased()) }
    }

    /// The text with the zone at its end as an offset.
    private static func withZone(_ text: String) -> String {
        guard let last = text.split(separator: " ").last, last.count < text.count else { return text }
        let head = text.dropLast(last.count)
        var zone = last.uppercased()
        for name in ["GMT", "UTC"] where zone.hasPrefix(name) && zone.count > 3 { zone = String(zone.dropFirst(3)) }
        if let offset = zones[zone] { return head + offset }
        // +2, +2:00 and +02 are all two hours.
        guard let sign = zone.first, sign == "+" || sign == "-" else { return text }
        let parts = zone.dropFirst().split(separator: ":", omittingEmptySubsequences: false)
        guard let hours = parts.first, hours.utf8.count <= 2, parts.count <= 2 else { return head + zone }
        let padded = String(repeating: "0", count: 2 - hours.utf8.count) + hours
        return head + "\(sign)\(padded):\(parts.count == 2 ? String(parts[1]) : "00")"
    }

    private static func isDigit(_ byte: UInt8) -> Bool { (0x30...0x39).contains(byte) }

    // Zones that RFC 2822 does not name, where the name means one zone in practice.
    private static let zones: [String: String] = [
        "WET": "+00:00", "WEST": "+01:00", "BST": "+01:00", "CET": "+01:00", "CEST": "+02:00", "MEZ": "+01:00",
        "MESZ": "+02:00", "EET": "+02:00", "EEST": "+03:00", "MSK": "+03:00", "SAST": "+02:00", "JST": "+09:00",
        "KST": "+09:00", "HKT": "+08:00", "SGT": "+08:00", "AWST": "+08:00", "ACST": "+09:30", "AEST": "+10:00",
        "AEDT": "+11:00", "NZST": "+12:00", "NZDT": "+13:00", "AKST": "-09:00", "AKDT": "-08:00", "HST": "-10:00",
        "BRT": "-03:00", "ART": "-03:00",
    ]
}

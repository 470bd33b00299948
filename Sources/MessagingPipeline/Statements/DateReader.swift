/// Reads one date from a short text; the notations are those of ``StatementDate/parse(_:)``.
struct DateReader {
    private let bytes: [UInt8]
    private var position = 0

    init(_ text: String) {
        let isBlank: (UInt8) -> Bool = { $0 == 0x20 || (0x09...0x0D).contains($0) }
        bytes = Array(text.utf8.drop(while: isBlank).reversed().drop(while: isBlank).reversed())
    }

    /// The milliseconds since 1970, or nil when the whole text is not one date.
    mutating func read() -> Int64? {
        guard let first = bytes.first else { return nil }
        guard isDigit(first) else { return readNamedDay() }
        let lengthOfNumber = bytes.prefix(while: isDigit).count
        let separator = lengthOfNumber < bytes.count ? bytes[lengthOfNumber] : 0
        switch separator {
        case UInt8(ascii: "-") where lengthOfNumber == 4: return readISO()
        case UInt8(ascii: "/"): return readSlashes()
        case UInt8(ascii: " "): return readDayMonthYear()
        case 0, UInt8(ascii: "."): return readUnix(digits: lengthOfNumber)
        default: return nil
        }
    }

    // MARK: Notations

    private mutating func readISO() -> Int64? {
        guard let year = number(4...4), skip("-"), let month = number(2...2), skip("-"), let day = number(2...2)
        else { return nil }
        var time: Int64 = 0
        var offset: Int64 = 0
        if !isAtEnd {
            guard skip("T") || skip("t") || skip(" "), let clock = readClock(hourDigits: 2...2) else { return nil }
            time = clock
            skipSpaces()
            if !isAtEnd {
                guard let zone = readOffset() else { return nil }
                offset = zone
            }
        }
        return assemble(year, month, day, time, offset)
    }

    private mutating func readSlashes() -> Int64? {
        guard let month = number(1...2), skip("/"), let day = number(1...2), skip("/"), let year = number(4...4)
        else { return nil }
        var time: Int64 = 0
        if !isAtEnd {
            guard skip(" "), var clock = readClock(hourDigits: 1...2) else { return nil }
            skipSpaces()
            if !isAtEnd {
                let half = word()
                let hour = clock / 3_600_000
                guard half == "am" || half == "pm", (1...12).contains(hour) else { return nil }
                clock += ((hour == 12 ? -12 : 0) + (half == "pm" ? 12 : 0)) * 3_600_000
            }
            time = clock
        }
        return assemble(year, month, day, time, 0)
    }

    /// `Wed, 27 Aug 2008 …` or `Wed Aug 27 …`.
    private mutating func readNamedDay() -> Int64? {
        guard Self.weekdays.contains(String(word().prefix(3))) else { return nil }
        if skip(",") {
            skipSpaces()
            return readDayMonthYear()
        }
        skipSpaces()
        guard let month = readMonth() else { return nil }
        skipSpaces()
        guard let day = number(1...2) else { return nil }
        skipSpaces()
        guard let time = readClock(hourDigits: 2...2) else { return nil }
        skipSpaces()
        var offset: Int64 = 0
        if position < bytes.count, !isDigit(bytes[position]) {
            guard let zone = readOffset() else { return nil }
            offset = zone
            skipSpaces()
        }
        guard let year = number(4...4) else { return nil }
        return assemble(year, month, day, time, offset)
    }

    /// RFC 2822 after the name of the day.
    private mutating func readDayMonthYear() -> Int64? {
        guard let day = number(1...2) else { return nil }
        skipSpaces()
        guard let month = readMonth() else { return nil }
        skipSpaces()
        let start = position
        guard var year = number(2...4) else { return nil }
        // RFC 2822 section 4.3: 00 to 49 are 2000 to 2049; other years of two or three digits count from 1900.
        switch position - start {
        case 2: year += year < 50 ? 2000 : 1900
        case 3: year += 1900
        default: break
        }
        skipSpaces()
        guard let time = readClock(hourDigits: 1...2) else { return nil }
        skipSpaces()
        var offset: Int64 = 0
        if !isAtEnd {
            guard let zone = readOffset() else { return nil }
            offset = zone
        }
        return assemble(year, month, day, time, offset)
    }

    private mutating func readUnix(digits: Int) -> Int64? {
        guard let value = number(9...14) else { return nil }
        guard digits <= 11 else { return isAtEnd ? value : nil }
        let fraction = readFraction()
        return isAtEnd ? value * 1000 + fraction : nil
    }

    // MARK: Parts

    /// `H:mm[:ss[.fraction]]` in milliseconds; second 60 (a leap second) is the first one of the next minute.
    private mutating func readClock(hourDigits: ClosedRange<Int>) -> Int64? {
        guard let hour = number(hourDigits), hour <= 23, skip(":"), let minute = number(2...2), minute <= 59
        else { return nil }
        var milliseconds = (hour * 60 + minute) * 60_000
        if skip(":") {
            guard let second = number(2...2), second <= 60 else { return nil }
            milliseconds += second * 1000 + readFraction()
        }
        return milliseconds
    }

    /// The fraction of a second in milliseconds, rounded; 0 without one.
    private mutating func readFraction() -> Int64 {
        guard position + 1 < bytes.count, bytes[position] == UInt8(ascii: ".") || bytes[position] == UInt8(ascii: ","),
            isDigit(bytes[position + 1])
        else { return 0 }
        position += 1
        var value: Int64 = 0
        var count = 0
        while position < bytes.count, isDigit(bytes[position]) {
            let digit = Int64(bytes[position] - UInt8(ascii: "0"))
            if count < 3 { value = value * 10 + digit } else if count == 3 && digit >= 5 { value += 1 }
            count += 1
            position += 1
        }
        while count < 3 {
            value *= 10
            count += 1
        }
        return value
    }

    /// `Z`, `+02:00`, `+0200`, `+02` or a zone of RFC 2822, in milliseconds east of UTC.
    private mutating func readOffset() -> Int64? {
        let isEast = skip("+")
        if isEast || skip("-") {
            guard let hours = number(2...2), hours <= 23 else { return nil }
            let hasColon = skip(":")
            let minutes = number(2...2)
            guard (minutes ?? 0) <= 59, minutes != nil || !hasColon else { return nil }
            return (isEast ? 1 : -1) * (hours * 60 + (minutes ?? 0)) * 60_000
        }
        return Self.zones[word()].map { $0 * 3_600_000 }
    }

    private mutating func readMonth() -> Int64? {
        let name = word()
        guard name.utf8.count >= 3, let index = Self.months.firstIndex(where: { $0.hasPrefix(name) }) else {
            return nil
        }
        return Int64(index + 1)
    }

    private func assemble(_ year: Int64, _ month: Int64, _ day: Int64, _ time: Int64, _ offset: Int64) -> Int64? {
        guard isAtEnd, (1...9999).contains(year), (1...12).contains(month), day >= 1 else { return nil }
        let isLeap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)
        let length = month == 2 ? (isLeap ? 29 : 28) : [4, 6, 9, 11].contains(month) ? 30 : 31
        guard day <= length else { return nil }
        let result = StatementDate.days(year: year, month: month, day: day) * 86_400_000 + time - offset
        return min(max(result, StatementDate.earliest), StatementDate.latest)
    }

    // MARK: Bytes

    private var isAtEnd: Bool { position == bytes.count }

    private func isDigit(_ byte: UInt8) -> Bool { (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte) }

    /// The number at the position, of so many digits; nil, with nothing read, when there are fewer.
    private mutating func number(_ digits: ClosedRange<Int>) -> Int64? {
        let run = bytes[position...].prefix(digits.upperBound).prefix(while: isDigit)
        guard run.count >= digits.lowerBound else { return nil }
        position += run.count
        return run.reduce(0) { $0 * 10 + Int64($1 - UInt8(ascii: "0")) }
    }

    /// The ASCII letters at the position, in lower case.
    private mutating func word() -> String {
        let run = bytes[position...].prefix { (0x61...0x7A).contains($0 | 0x20) }
        position += run.count
        return String(decoding: run.map { $0 | 0x20 }, as: UTF8.self)
    }

    private mutating func skip(_ character: Unicode.Scalar) -> Bool {
        guard position < bytes.count, bytes[position] == UInt8(ascii: character) else { return false }
        position += 1
        return true
    }

    private mutating func skipSpaces() {
        while skip(" ") {}
    }

    private static let weekdays: Set<String> = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
    private static let months = [
        "january", "february", "march", "april", "may", "june", "july", "august", "september", "october", "november",
        "december",
    ]
    // RFC 2822 section 4.3, in hours east of UTC.
    private static let zones: [String: Int64] = [
        "z": 0, "ut": 0, "utc": 0, "gmt": 0, "est": -5, "edt": -4, "cst": -6, "cdt": -5, "mst": -7, "mdt": -6,
        "pst": -8, "pdt": -7,
    ]
}

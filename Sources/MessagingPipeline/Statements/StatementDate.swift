import Foundation

/// Reads and writes the dates of statements, independent of locale and time zone settings.
///
/// Everything is kept to the millisecond, so that a date survives a round trip through JSON unchanged.
public enum StatementDate {
    /// Reads a date in any of the understood notations; a date without an offset is taken to be UTC.
    ///
    /// Understood are ISO 8601 / RFC 3339 (`2016-08-16T19:22:57.5+02:00`, also with a space, without an offset, or the
    /// date alone), `M/d/yyyy H:mm:ss` with an optional `AM`/`PM`, RFC 822 / RFC 2822 (`Wed, 27 Aug 2008 13:08:45 +0000`,
    /// with the obsolete two-digit years and named zones of RFC 2822 section 4.3), asctime and Twitter's
    /// `Wed Aug 27 13:08:45 +0000 2008`, and Unix time: 9 to 11 digits are seconds, 12 to 14 digits milliseconds.
    ///
    /// - Parameter text: The date as written; whitespace around it is ignored.
    /// - Returns: The date rounded to a millisecond, or nil when `text` is in none of these notations, names a day that
    ///   does not exist, or is longer than 64 bytes.
    public static func parse(_ text: String) -> Date? {
        guard text.utf8.count <= 64 else { return nil }
        var reader = DateReader(text)
        return reader.read().map(date(milliseconds:))
    }

    /// Writes a date as ISO 8601 in UTC, with three decimals only when it is not on a whole second.
    ///
    /// - Parameter date: The date; outside the years 1 to 9999 the nearest date within is written.
    /// - Returns: For example `2016-08-16T19:22:57Z` or `2016-08-16T19:22:57.250Z`.
    public static func string(from date: Date) -> String {
        let total = milliseconds(date)
        let (day, time) = floorDivide(total, by: 86_400_000)
        let (year, month, dayOfMonth) = civil(fromDays: day)
        let second = time / 1000
        var text =
            pad(year, 4) + "-" + pad(month, 2) + "-" + pad(dayOfMonth, 2) + "T"
            + pad(second / 3600, 2) + ":" + pad(second / 60 % 60, 2) + ":" + pad(second % 60, 2)
        if time % 1000 != 0 { text += "." + pad(time % 1000, 3) }
        return text + "Z"
    }

    /// The date in whole milliseconds since 1970-01-01T00:00:00Z.
    ///
    /// - Parameter date: The date; outside the years 1 to 9999 it is moved to the nearest date within.
    /// - Returns: The milliseconds, negative before 1970.
    public static func milliseconds(_ date: Date) -> Int64 {
        let exact = (date.timeIntervalSince1970 * 1000).rounded()
        if exact.isNaN { return earliest }
        return Int64(min(max(exact, Double(earliest)), Double(latest)))
    }

    /// The date that is so many milliseconds after 1970-01-01T00:00:00Z.
    ///
    /// - Parameter milliseconds: The milliseconds, negative before 1970.
    /// - Returns: The date.
    public static func date(milliseconds: Int64) -> Date {
        Date(timeIntervalSince1970: Double(milliseconds) / 1000)
    }

    /// 0001-01-01T00:00:00.000Z, in milliseconds since 1970.
    static let earliest: Int64 = -62_135_596_800_000
    /// 9999-12-31T23:59:59.999Z, in milliseconds since 1970.
    static let latest: Int64 = 253_402_300_799_999

    static func pad(_ value: Int64, _ width: Int) -> String {
        let digits = String(value)
        return String(repeating: "0", count: max(0, width - digits.utf8.count)) + digits
    }

    // The two conversions follow Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms":
    // https://howardhinnant.github.io/date_algorithms.html

    /// The days from 1970-01-01 to a day of the proleptic Gregorian calendar.
    static func days(year: Int64, month: Int64, day: Int64) -> Int64 {
        let shifted = month <= 2 ? year - 1 : year
        let (era, yearOfEra) = floorDivide(shifted, by: 400)
        let dayOfYear = (153 * (month > 2 ? month - 3 : month + 9) + 2) / 5 + day - 1
        return era * 146_097 + yearOfEra * 365 + yearOfEra / 4 - yearOfEra / 100 + dayOfYear - 719_468
    }

    private static func civil(fromDays days: Int64) -> (year: Int64, month: Int64, day: Int64) {
        let (era, dayOfEra) = floorDivide(days + 719_468, by: 146_097)
        let yearOfEra = (dayOfEra - dayOfEra / 1460 + dayOfEra / 36_524 - dayOfEra / 146_096) / 365
        let dayOfYear = dayOfEra - (365 * yearOfEra + yearOfEra / 4 - yearOfEra / 100)
        let shifted = (5 * dayOfYear + 2) / 153
        let month = shifted < 10 ? shifted + 3 : shifted - 9
        return (yearOfEra + era * 400 + (month <= 2 ? 1 : 0), month, dayOfYear - (153 * shifted + 2) / 5 + 1)
    }

    private static func floorDivide(_ value: Int64, by divisor: Int64) -> (quotient: Int64, remainder: Int64) {
        let (quotient, remainder) = value.quotientAndRemainder(dividingBy: divisor)
        return remainder < 0 ? (quotient - 1, remainder + divisor) : (quotient, remainder)
    }
}

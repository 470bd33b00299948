import ArgumentParser

/// A time span on the command line: a number with a unit, such as `500ms`, `5s`, `2m`, `1.5h` or `1d`.
enum DurationArgument {
    private static let units: [(name: String, milliseconds: Double)] = [
        ("ms", 1), ("s", 1000), ("m", 60_000), ("h", 3_600_000), ("d", 86_400_000),
    ]

    /// Reads a time span.
    static func parse(_ text: String) throws -> Duration {
        let unit = text.reversed().prefix { $0.isLetter }.reversed().map(String.init).joined()
        let number = text.dropLast(unit.count)
        guard let scale = units.first(where: { $0.name == unit })?.milliseconds,
            !number.isEmpty, number.allSatisfy({ $0.isASCII && ($0.isNumber || $0 == ".") }),
            let value = Double(number), value * scale <= 366 * 86_400_000
        else {
            throw ValidationError("a duration is a number with a unit, such as 500ms, 5s, 2m, 1h or 7d, at most 366d")
        }
        return .milliseconds(Int64((value * scale).rounded()))
    }
}

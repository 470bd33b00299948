/// The parameters of a query string, each at most once.
struct QueryParameters {
    private let values: [String: String]

    /// Reads a query string.
    ///
    /// Names that are not known are ignored, whatever their value.
    ///
    /// - Parameters:
    ///   - query: What stands behind the question mark.
    ///   - names: The names that are known.
    /// - Throws: ``APIError`` when a known parameter comes twice or its value is not percent-encoded UTF-8.
    init(_ query: String?, names: Set<String>) throws(APIError) {
        var values: [String: String] = [:]
        for pair in (query ?? "").utf8.split(separator: UInt8(ascii: "&")) {
            let parts = pair.split(separator: UInt8(ascii: "="), maxSplits: 1, omittingEmptySubsequences: false)
            guard let written = parts.first, let name = PercentEncoding.decode(written, plusIsSpace: true),
                names.contains(name)
            else { continue }
            guard let value = PercentEncoding.decode(parts.dropFirst().first ?? "".utf8[...], plusIsSpace: true) else {
                throw .badRequest("'\(name)' must be UTF-8 and percent-encoded")
            }
            guard values.updateValue(value, forKey: name) == nil else {
                throw .badRequest("'\(name)' is given more than once")
            }
        }
        self.values = values
    }

    /// The value of a parameter; `nil` when it is not given.
    subscript(name: String) -> String? { values[name] }

    /// A whole number: digits, and nothing else.
    func number<Number: FixedWidthInteger>(_ name: String, in range: ClosedRange<Number>) throws(APIError) -> Number? {
        guard let text = values[name] else { return nil }
        return try Self.number(text, "'\(name)'", in: range)
    }

    /// Reads a whole number.
    static func number<Number: FixedWidthInteger>(
        _ text: String,
        _ name: String,
        in range: ClosedRange<Number>
    ) throws(APIError) -> Number {
        guard !text.isEmpty, text.utf8.allSatisfy({ (0x30...0x39).contains($0) }), let number = Number(text),
            range.contains(number)
        else { throw .badRequest("\(name) must be a whole number from \(range.lowerBound) to \(range.upperBound)") }
        return number
    }
}

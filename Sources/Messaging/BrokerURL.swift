/// The URL of a broker, taken apart: `scheme://[user[:password]@]authority[/path][?option=value&…]`.
///
/// What it says of a URL that cannot be used names the part and never repeats a value, which may be a credential.
package struct BrokerURL: Sendable {
    /// In lower case.
    package let scheme: String
    /// Percent-decoded; `nil` without credentials.
    package let user: String?
    /// Percent-decoded.
    package let password: String?
    /// What stands before the path, without the credentials.
    package let authority: Substring
    /// As it is written: empty, or with its first slash.
    package let path: Substring
    /// In their order, the values percent-decoded.
    package let options: [(name: String, value: String)]
    private let system: String

    /// Takes a URL apart.
    ///
    /// - Parameters:
    ///   - text: The URL.
    ///   - system: What the broker is called in errors.
    ///   - example: What the URL should begin with.
    /// - Throws: `QueueError` with the code `invalidArgument`.
    package init(_ text: String, system: String, example: String) throws(QueueError) {
        self.system = system
        guard let separator = text.firstRange(of: "://") else {
            throw Self.invalid("it needs a scheme such as \(example)", system)
        }
        scheme = text[..<separator.lowerBound].lowercased()
        let parts = text[separator.upperBound...].split(separator: "?", maxSplits: 1, omittingEmptySubsequences: false)
        var options: [(name: String, value: String)] = []
        for option in parts.dropFirst().first?.split(separator: "&") ?? [] {
            let pair = option.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
            options.append((String(pair[0]), try Self.decoded(pair.dropFirst().first ?? "", "an option", system)))
        }
        self.options = options
        let slash = parts[0].firstIndex(of: "/") ?? parts[0].endIndex
        path = parts[0][slash...]
        var authority = parts[0][..<slash]
        var (user, password): (String?, String?) = (nil, nil)
        if let at = authority.lastIndex(of: "@") {
            let pair = authority[..<at].split(separator: ":", maxSplits: 1, omittingEmptySubsequences: false)
            user = try Self.decoded(pair[0], "the user name", system)
            if pair.count > 1 { password = try Self.decoded(pair[1], "the password", system) }
            authority = authority[authority.index(after: at)...]
        }
        (self.user, self.password, self.authority) = (user, password, authority)
    }

    /// Takes one address apart; IPv6 stands in brackets.
    ///
    /// - Parameter address: The address; the whole authority unless given.
    /// - Returns: The host, percent-decoded, and the port, each `nil` when it is not there.
    /// - Throws: `QueueError` with the code `invalidArgument`.
    package func hostAndPort(_ address: Substring? = nil) throws(QueueError) -> (host: String?, port: Int?) {
        let address = address ?? authority
        let (host, port): (Substring, Substring)
        if address.first == "[" {
            guard let close = address.firstIndex(of: "]") else { throw invalid("an address lacks a ']'") }
            host = address[address.index(after: address.startIndex)..<close]
            let rest = address[address.index(after: close)...]
            guard rest.isEmpty || rest.first == ":" else { throw invalid("an address has something behind its ']'") }
            port = rest.dropFirst()
        } else {
            let parts = address.split(separator: ":", omittingEmptySubsequences: false)
            guard parts.count <= 2 else { throw invalid("an IPv6 address needs brackets, as in [::1]") }
            (host, port) = (parts.first ?? "", parts.dropFirst().first ?? "")
        }
        return (
            host.isEmpty ? nil : try decoded(host, "the host"),
            port.isEmpty ? nil : try number(port, "the port", 1...65535)
        )
    }

    /// Reads a whole number.
    ///
    /// - Parameters:
    ///   - text: The number.
    ///   - name: What it is, for the error.
    ///   - range: What is allowed.
    /// - Returns: The number.
    /// - Throws: `QueueError` with the code `invalidArgument`.
    package func number(
        _ text: some StringProtocol,
        _ name: String,
        _ range: ClosedRange<Int>
    ) throws(QueueError) -> Int {
        guard let value = Int(text), range.contains(value) else {
            throw invalid("\(name) must be a number from \(range.lowerBound) to \(range.upperBound)")
        }
        return value
    }

    /// Reads a duration, given in seconds with or without a fraction.
    ///
    /// - Parameters:
    ///   - text: The seconds.
    ///   - name: What it is, for the error.
    ///   - limit: The most that is allowed, in seconds.
    /// - Returns: The duration, at least a millisecond.
    /// - Throws: `QueueError` with the code `invalidArgument`.
    package func seconds(_ text: String, _ name: String, limit: Int = 86400) throws(QueueError) -> Duration {
        guard let value = Double(text), value > 0, value <= Double(limit) else {
            throw invalid("\(name) must be seconds, above 0 and at most \(limit)")
        }
        return max(.milliseconds(1), .seconds(value))
    }

    /// Decodes percent-encoding.
    ///
    /// - Parameters:
    ///   - text: What is written.
    ///   - name: What it is, for the error.
    /// - Returns: What is meant.
    /// - Throws: `QueueError` with the code `invalidArgument`.
    package func decoded(_ text: some StringProtocol, _ name: String) throws(QueueError) -> String {
        try Self.decoded(text, name, system)
    }

    /// Says why the URL cannot be used.
    ///
    /// - Parameter reason: Why, without a value.
    /// - Returns: The error.
    package func invalid(_ reason: String) -> QueueError { Self.invalid(reason, system) }

    /// Says that there is no such option.
    ///
    /// What is no plain word may be the rest of a password whose `?` was not encoded, and is not repeated.
    ///
    /// - Parameter name: The option.
    /// - Returns: The error.
    package func unknownOption(_ name: String) -> QueueError {
        let isPlain = name.utf8.allSatisfy { (0x61...0x7A).contains($0) || $0 == UInt8(ascii: "_") }
        return invalid(isPlain ? "it has the unknown option '\(name)'" : "it has an unknown option")
    }

    private static func invalid(_ reason: String, _ system: String) -> QueueError {
        QueueError(.invalidArgument, "the \(system) URL cannot be used: \(reason)")
    }

    private static func decoded(
        _ text: some StringProtocol,
        _ name: String,
        _ system: String
    ) throws(QueueError) -> String {
        var bytes: [UInt8] = []
        var iterator = text.utf8.makeIterator()
        while let byte = iterator.next() {
            if byte != UInt8(ascii: "%") {
                bytes.append(byte)
                continue
            }
            guard let high = iterator.next().flatMap(digit), let low = iterator.next().flatMap(digit) else {
                throw invalid("\(name) has a '%' without two hexadecimal digits; write '%' as %25", system)
            }
            bytes.append(high << 4 | low)
        }
        // Some clients take a zero byte for the end of a text.
        guard let decoded = String(validating: bytes, as: UTF8.self), !bytes.contains(0) else {
            throw invalid("\(name) is not UTF-8, or has a zero byte", system)
        }
        return decoded
    }

    private static func digit(_ byte: UInt8) -> UInt8? {
        Character(UnicodeScalar(byte)).hexDigitValue.flatMap { UInt8(exactly: $0) }
    }
}

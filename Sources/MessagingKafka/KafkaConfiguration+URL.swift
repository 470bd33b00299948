#if Kafka
import Messaging

extension KafkaConfiguration {
    /// Creates a configuration from a URL.
    ///
    /// `kafka://[user:password@]host[:port][,host[:port]…][?option=value&…]`, and `kafkas://…` for TLS. User and password
    /// are percent-decoded. Options: `timeout`, `publish_timeout`, `session_timeout`, `commit_interval`,
    /// `clean_interval`, `poll_timeout`, `metrics_interval` (seconds, fractions allowed), `partitions`, `replication`, `max_body` (bytes), `instance` (a static member's name), `sasl` (`PLAIN`,
    /// `SCRAM-SHA-256`, `SCRAM-SHA-512`), for TLS `tls_ca`, `tls_cert` and `tls_key` (files), and `rdkafka.NAME` for every
    /// setting of librdkafka that this library does not depend on.
    ///
    /// - Parameter url: The URL.
    /// - Throws: `QueueError` with the code `invalidArgument` that says what is wrong, without repeating credentials.
    public init(url: String) throws(QueueError) {
        guard let separator = url.firstRange(of: "://") else {
            throw Self.invalid("it needs a scheme such as kafka://")
        }
        self.init()
        switch url[..<separator.lowerBound].lowercased() {
        case "kafka": break
        case "kafkas", "kafka+ssl": tls = TLS()
        default: throw Self.invalid("its scheme is none of kafka and kafkas")
        }
        let parts = url[separator.upperBound...].split(separator: "?", maxSplits: 1, omittingEmptySubsequences: false)
        var authority = parts[0]
        if authority.last == "/" { authority.removeLast() }
        guard !authority.contains("/") else {
            throw Self.invalid("it has a path; write a '/' of a user or password as %2F")
        }
        if let at = authority.lastIndex(of: "@") {
            let pair = authority[..<at].split(separator: ":", maxSplits: 1, omittingEmptySubsequences: false)
            let user = try Self.decoded(pair[0], "the user name")
            username = user.isEmpty ? nil : user
            if pair.count > 1 { password = try Self.decoded(pair[1], "the password") }
            authority = authority[authority.index(after: at)...]
        }
        servers = []
        for server in authority.split(separator: ",", omittingEmptySubsequences: false) {
            servers.append(try Self.server(server))
        }
        guard parts.count > 1 else { return }
        for option in parts[1].split(separator: "&") {
            let pair = option.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
            try apply(String(pair[0]), try Self.decoded(pair.count > 1 ? pair[1] : "", "an option"))
        }
    }

    private static func server(_ text: Substring) throws(QueueError) -> String {
        if text.isEmpty { return "127.0.0.1:9092" }
        if text.first == "[" {
            guard let close = text.firstIndex(of: "]") else { throw invalid("an address lacks a ']'") }
            let rest = text[text.index(after: close)...]
            guard rest.isEmpty || rest.first == ":" else { throw invalid("an address has something behind its ']'") }
            return String(text[...close]) + ":" + String(try port(rest.dropFirst()))
        }
        let parts = text.split(separator: ":", omittingEmptySubsequences: false)
        guard parts.count <= 2 else { throw invalid("an IPv6 address needs brackets: [::1]:9092") }
        let host = parts[0].isEmpty ? "127.0.0.1" : String(parts[0])
        let isHost = host.utf8.allSatisfy { byte in
            byte < 0x80 && (Character(UnicodeScalar(byte)).isLetter || Character(UnicodeScalar(byte)).isNumber)
                || byte == UInt8(ascii: ".") || byte == UInt8(ascii: "-") || byte == UInt8(ascii: "_")
        }
        guard isHost else { throw invalid("a host has characters that no host name has") }
        return host + ":" + String(try port(parts.count > 1 ? parts[1] : ""))
    }

    private static func port(_ text: Substring) throws(QueueError) -> Int {
        text.isEmpty ? 9092 : try number(text, "a port", 1...65535)
    }

    private mutating func apply(_ name: String, _ value: String) throws(QueueError) {
        switch name {
        case "timeout": timeout = try Self.seconds(value, name)
        case "publish_timeout": publishTimeout = try Self.seconds(value, name)
        case "session_timeout": sessionTimeout = try Self.seconds(value, name)
        case "commit_interval": commitInterval = try Self.seconds(value, name)
        case "clean_interval": cleanInterval = try Self.seconds(value, name)
        case "poll_timeout": pollTimeout = try Self.seconds(value, name)
        case "metrics_interval": metricsInterval = value == "0" ? nil : try Self.seconds(value, name)
        case "partitions": partitions = try Self.number(value[...], name, 1...10_000)
        case "replication": replication = try Self.number(value[...], name, 1...100)
        case "max_body": maxBodyBytes = try Self.number(value[...], name, 1...(512 << 20))
        case "instance":
            guard NameRules.isValid(value) else {
                throw Self.invalid("instance is no name: letters, digits and . _ - : /")
            }
            instance = value
        case "sasl":
            guard let known = Mechanism(rawValue: value.uppercased()) else {
                throw Self.invalid("sasl is one of \(Mechanism.allCases.map(\.rawValue).joined(separator: ", "))")
            }
            mechanism = known
        case "tls_ca", "tls_cert", "tls_key":
            guard tls != nil else { throw Self.invalid("\(name) needs the scheme kafkas") }
            switch name {
            case "tls_ca": tls?.caFile = value
            case "tls_cert": tls?.certificateFile = value
            default: tls?.keyFile = value
            }
        default:
            let isPlain = name.utf8.allSatisfy { byte in
                (0x61...0x7A).contains(byte) || (0x30...0x39).contains(byte) || byte == UInt8(ascii: ".")
                    || byte == UInt8(ascii: "_") || byte == UInt8(ascii: "-")
            }
            guard isPlain, name.hasPrefix("rdkafka.") else {
                // What is no plain word may be the rest of a password whose '?' was not encoded.
                throw Self.invalid(isPlain ? "it has the unknown option '\(name)'" : "it has an unknown option")
            }
            let setting = String(name.dropFirst("rdkafka.".count))
            guard !Self.reserved.contains(setting) else {
                throw Self.invalid("the setting '\(setting)' belongs to this library; it has options of its own for it")
            }
            settings[setting] = value
        }
    }

    private static func invalid(_ reason: String) -> QueueError {
        QueueError(.invalidArgument, "the Kafka URL cannot be used: \(reason)")
    }

    private static func number(
        _ text: Substring,
        _ name: String,
        _ range: ClosedRange<Int>
    ) throws(QueueError) -> Int {
        guard let value = Int(text), range.contains(value) else {
            throw invalid("\(name) must be a number from \(range.lowerBound) to \(range.upperBound)")
        }
        return value
    }

    private static func seconds(_ text: String, _ name: String) throws(QueueError) -> Duration {
        guard let value = Double(text), value > 0, value <= 3600 else {
            throw invalid("\(name) must be seconds, above 0 and at most 3600")
        }
        return .milliseconds(Int64(max(1, value * 1000)))
    }

    private static func decoded(_ text: some StringProtocol, _ name: String) throws(QueueError) -> String {
        var bytes: [UInt8] = []
        var rest = text.utf8[...]
        while let byte = rest.popFirst() {
            guard byte == UInt8(ascii: "%") else {
                bytes.append(byte)
                continue
            }
            guard let high = rest.popFirst().flatMap(digit), let low = rest.popFirst().flatMap(digit) else {
                throw invalid("\(name) has a '%' without two hexadecimal digits; write '%' as %25")
            }
            bytes.append(high << 4 | low)
        }
        guard let decoded = String(validating: bytes, as: UTF8.self), !bytes.contains(0) else {
            throw invalid("\(name) is not UTF-8, or has a zero byte")
        }
        return decoded
    }

    private static func digit(_ byte: UInt8) -> UInt8? {
        Character(UnicodeScalar(byte)).hexDigitValue.flatMap { UInt8(exactly: $0) }
    }
}
#endif

#if RabbitMQ
import Messaging

extension RabbitMQConfiguration {
    /// Creates a configuration from a URL.
    ///
    /// `amqp://[user[:password]@]host[:port][/virtual-host][?option=value&…]`, and `amqps://…` for TLS. User, password and
    /// virtual host are percent-decoded: `amqp://host/%2f` and `amqp://host` both mean the virtual host `/`. Options:
    /// `connect_timeout`, `command_timeout`, `consumer_timeout` (seconds, fractions allowed), `heartbeat` (whole seconds),
    /// `max_body` (bytes), `management` (the URL of the management plugin), and for TLS `tls_ca`, `tls_cert` and `tls_key`
    /// (files).
    ///
    /// - Parameter url: The URL.
    /// - Throws: `QueueError` with the code `invalidArgument` that says what is wrong, without repeating credentials.
    public init(url: String) throws(QueueError) {
        guard let separator = url.firstRange(of: "://") else {
            throw Self.invalid("it needs a scheme such as amqp://")
        }
        let scheme = url[..<separator.lowerBound].lowercased()
        guard scheme == "amqp" || scheme == "amqps" else { throw Self.invalid("its scheme is neither amqp nor amqps") }
        var rest = url[separator.upperBound...]
        var options: [(String, String)] = []
        if let mark = rest.firstIndex(of: "?") {
            for pair in rest[rest.index(after: mark)...].split(separator: "&") {
                let parts = pair.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
                options.append((String(parts[0]), try Self.decoded(parts.count > 1 ? parts[1] : "", "an option")))
            }
            rest = rest[..<mark]
        }
        self.init(tls: scheme == "amqps" ? TLS() : nil)
        try parseCredentials(&rest)
        try parseAuthority(&rest)
        let path = rest.dropFirst()
        if path.contains("/") { throw Self.invalid("its path has a second '/'; write one in a virtual host as %2f") }
        if !path.isEmpty { virtualHost = try Self.decoded(path, "the virtual host") }
        for (name, value) in options { try apply(name, value) }
        if tls != nil, Self.isAddress(host) {
            throw Self.invalid(
                "librabbitmq cannot check a certificate for an address; give the host's name in place of it"
            )
        }
        if let tls, (tls.certificateFile == nil) != (tls.keyFile == nil) {
            throw Self.invalid("tls_cert and tls_key belong together")
        }
    }

    private mutating func parseCredentials(_ rest: inout Substring) throws(QueueError) {
        let authorityEnd = rest.firstIndex(of: "/") ?? rest.endIndex
        guard let at = rest[..<authorityEnd].lastIndex(of: "@") else { return }
        let parts = rest[..<at].split(separator: ":", maxSplits: 1, omittingEmptySubsequences: false)
        username = try Self.decoded(parts[0], "the user name")
        password = parts.count > 1 ? try Self.decoded(parts[1], "the password") : ""
        if username.contains("\0") || password.contains("\0") {
            throw Self.invalid("user name and password cannot contain a zero byte")
        }
        rest = rest[rest.index(after: at)...]
    }

    private mutating func parseAuthority(_ rest: inout Substring) throws(QueueError) {
        let end = rest.firstIndex(of: "/") ?? rest.endIndex
        let authority = rest[..<end]
        rest = rest[end...]
        let name: Substring
        var number: Substring = ""
        if authority.first == "[" {
            guard let close = authority.firstIndex(of: "]") else { throw Self.invalid("its address lacks a ']'") }
            name = authority[authority.index(after: authority.startIndex)..<close]
            let after = authority[authority.index(after: close)...]
            if after.first == ":" { number = after.dropFirst() }
        } else if let colon = authority.lastIndex(of: ":") {
            name = authority[..<colon]
            number = authority[authority.index(after: colon)...]
        } else {
            name = authority
        }
        if !name.isEmpty { host = try Self.decoded(name, "the host") }
        if !number.isEmpty { port = try Self.number(number, "the port", 1...65535) }
    }

    private mutating func apply(_ name: String, _ value: String) throws(QueueError) {
        switch name {
        case "connect_timeout": connectTimeout = try Self.seconds(value, name)
        case "command_timeout": commandTimeout = try Self.seconds(value, name)
        case "consumer_timeout": consumerTimeout = try Self.seconds(value, name)
        case "heartbeat": heartbeat = .seconds(try Self.number(value[...], name, 1...3600))
        case "max_body": maxBodyBytes = try Self.number(value[...], name, 1...(128 << 20))
        case "lanes": lanes = try Self.number(value[...], name, Lanes.possible)
        case "management":
            guard value.hasPrefix("http://") || value.hasPrefix("https://"), !value.contains("@") else {
                throw Self.invalid("management must be an http URL without credentials; those of the broker are used")
            }
            management = value.hasSuffix("/") ? String(value.dropLast()) : value
        case "tls_ca", "tls_cert", "tls_key":
            guard tls != nil else { throw Self.invalid("\(name) needs the scheme amqps") }
            switch name {
            case "tls_ca": tls?.caFile = value
            case "tls_cert": tls?.certificateFile = value
            default: tls?.keyFile = value
            }
        default:
            // What is no plain word may be the rest of a password whose '?' was not encoded.
            let shown = name.utf8.allSatisfy { $0 == UInt8(ascii: "_") || (0x61...0x7A).contains($0) }
            throw Self.invalid(shown ? "it has the unknown option '\(name)'" : "it has an unknown option")
        }
    }

    private static func isAddress(_ host: String) -> Bool {
        host.contains(":") || host.utf8.allSatisfy { $0 == UInt8(ascii: ".") || (0x30...0x39).contains($0) }
    }

    private static func invalid(_ reason: String) -> QueueError {
        QueueError(.invalidArgument, "the RabbitMQ URL cannot be used: \(reason)")
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
        guard let value = Double(text), value > 0, value <= 86400 else {
            throw invalid("\(name) must be seconds, above 0 and at most 86400")
        }
        return .seconds(value)
    }

    private static func decoded(_ text: some StringProtocol, _ name: String) throws(QueueError) -> String {
        var bytes: [UInt8] = []
        var iterator = text.utf8.makeIterator()
        while let byte = iterator.next() {
            if byte != UInt8(ascii: "%") {
                bytes.append(byte)
                continue
            }
            guard let high = iterator.next().flatMap(Self.digit), let low = iterator.next().flatMap(Self.digit) else {
                throw invalid("\(name) has a '%' without two hexadecimal digits; write '%' as %25")
            }
            bytes.append(high << 4 | low)
        }
        guard let decoded = String(validating: bytes, as: UTF8.self) else { throw invalid("\(name) is not UTF-8") }
        return decoded
    }

    private static func digit(_ byte: UInt8) -> UInt8? {
        Character(UnicodeScalar(byte)).hexDigitValue.flatMap { UInt8(exactly: $0) }
    }
}
#endif

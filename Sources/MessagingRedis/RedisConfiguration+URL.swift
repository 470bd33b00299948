#if Redis
import Messaging

extension RedisConfiguration {
    /// Creates a configuration from a URL.
    ///
    /// `redis://[user[:password]@]host[:port][/database][?option=value&…]`, `rediss://…` for TLS, and
    /// `unix:///path/of/socket[?db=database]` for a Unix domain socket. User and password are percent-decoded. Options:
    /// `connect_timeout`, `command_timeout`, `heartbeat` (seconds, fractions allowed), `max_body` (bytes), and for TLS
    /// `tls_ca`, `tls_cert`, `tls_key` (files) and `tls_name`.
    ///
    /// - Parameter url: The URL.
    /// - Throws: `QueueError` with the code `invalidArgument` that says what is wrong, without repeating credentials.
    public init(url: String) throws(QueueError) {
        guard let separator = url.firstRange(of: "://") else {
            throw Self.invalid("it needs a scheme such as redis://")
        }
        let scheme = url[..<separator.lowerBound].lowercased()
        var rest = url[separator.upperBound...]
        var options: [(String, String)] = []
        if let mark = rest.firstIndex(of: "?") {
            for pair in rest[rest.index(after: mark)...].split(separator: "&") {
                let parts = pair.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
                options.append((String(parts[0]), try Self.decoded(parts.count > 1 ? parts[1] : "", "an option")))
            }
            rest = rest[..<mark]
        }
        self.init()
        switch scheme {
        case "redis", "rediss":
            if scheme == "rediss" { tls = TLS() }
            try parseAuthority(&rest)
            let database = rest.dropFirst()
            if !database.isEmpty { self.database = try Self.number(database, "the database", 0...1_000_000) }
        case "unix", "redis+unix", "redis+socket":
            try parseCredentials(&rest)
            guard rest.first == "/" else { throw Self.invalid("a Unix socket needs an absolute path: unix:///path") }
            endpoint = .unix(path: try Self.decoded(rest, "the path"))
        default:
            throw Self.invalid("its scheme is none of redis, rediss and unix")
        }
        for (name, value) in options { try apply(name, value) }
    }

    private mutating func parseCredentials(_ rest: inout Substring) throws(QueueError) {
        let authorityEnd = rest.firstIndex(of: "/") ?? rest.endIndex
        guard let at = rest[..<authorityEnd].lastIndex(of: "@") else { return }
        let parts = rest[..<at].split(separator: ":", maxSplits: 1, omittingEmptySubsequences: false)
        let user = try Self.decoded(parts[0], "the user name")
        username = user.isEmpty ? nil : user
        if parts.count > 1 { password = try Self.decoded(parts[1], "the password") }
        rest = rest[rest.index(after: at)...]
    }

    private mutating func parseAuthority(_ rest: inout Substring) throws(QueueError) {
        try parseCredentials(&rest)
        let end = rest.firstIndex(of: "/") ?? rest.endIndex
        let authority = rest[..<end]
        rest = rest[end...]
        let host: Substring
        var port: Substring = ""
        if authority.first == "[" {
            guard let close = authority.firstIndex(of: "]") else { throw Self.invalid("its address lacks a ']'") }
            host = authority[authority.index(after: authority.startIndex)..<close]
            let after = authority[authority.index(after: close)...]
            if after.first == ":" { port = after.dropFirst() }
        } else if let colon = authority.lastIndex(of: ":") {
            host = authority[..<colon]
            port = authority[authority.index(after: colon)...]
        } else {
            host = authority
        }
        endpoint = .tcp(
            host: host.isEmpty ? "127.0.0.1" : try Self.decoded(host, "the host"),
            port: port.isEmpty ? 6379 : try Self.number(port, "the port", 1...65535)
        )
    }

    private mutating func apply(_ name: String, _ value: String) throws(QueueError) {
        switch name {
        case "db": database = try Self.number(value[...], "db", 0...1_000_000)
        case "connect_timeout": connectTimeout = try Self.seconds(value, name)
        case "command_timeout": commandTimeout = try Self.seconds(value, name)
        case "heartbeat": heartbeat = try Self.seconds(value, name)
        case "max_body": maxBodyBytes = try Self.number(value[...], name, 1...(512 << 20))
        case "tls_ca", "tls_cert", "tls_key", "tls_name":
            guard tls != nil else { throw Self.invalid("\(name) needs the scheme rediss") }
            switch name {
            case "tls_ca": tls?.caFile = value
            case "tls_cert": tls?.certificateFile = value
            case "tls_key": tls?.keyFile = value
            default: tls?.serverName = value
            }
        default:
            // What is no plain word may be the rest of a password whose '?' was not encoded.
            let shown = name.utf8.allSatisfy { $0 == UInt8(ascii: "_") || (0x61...0x7A).contains($0) }
            throw Self.invalid(shown ? "it has the unknown option '\(name)'" : "it has an unknown option")
        }
    }

    private static func invalid(_ reason: String) -> QueueError {
        QueueError(.invalidArgument, "the Redis URL cannot be used: \(reason)")
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

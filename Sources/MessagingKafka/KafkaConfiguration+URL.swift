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
        let parts = try BrokerURL(url, system: "Kafka", example: "kafka://")
        self.init()
        switch parts.scheme {
        case "kafka": break
        case "kafkas", "kafka+ssl": tls = TLS()
        default: throw parts.invalid("its scheme is none of kafka and kafkas")
        }
        guard parts.path.isEmpty || parts.path == "/" else {
            throw parts.invalid("it has a path; write a '/' of a user or password as %2F")
        }
        username = parts.user.flatMap { $0.isEmpty ? nil : $0 }
        password = parts.password
        servers = []
        for server in parts.authority.split(separator: ",", omittingEmptySubsequences: false) {
            servers.append(try Self.server(server, of: parts))
        }
        for (name, value) in parts.options { try apply(name, value, of: parts) }
    }

    /// Whether a byte can be one of a setting's name; others may be of a password whose `?` was not encoded.
    private static func isOfASetting(_ byte: UInt8) -> Bool {
        (0x61...0x7A).contains(byte) || ".-_".utf8.contains(byte)
    }

    private static func server(_ text: Substring, of url: BrokerURL) throws(QueueError) -> String {
        let (name, port) = try url.hostAndPort(text)
        let host = name ?? "127.0.0.1"
        let isAddress = text.first == "["
        let isHost = host.utf8.allSatisfy { byte in
            byte < 0x80 && (Character(UnicodeScalar(byte)).isLetter || Character(UnicodeScalar(byte)).isNumber)
                || (isAddress ? ".:%" : ".-_").utf8.contains(byte)
        }
        guard isHost else { throw url.invalid("a host has characters that no host name has") }
        return (isAddress ? "[\(host)]" : host) + ":\(port ?? 9092)"
    }

    private mutating func apply(_ name: String, _ value: String, of url: BrokerURL) throws(QueueError) {
        switch name {
        case "timeout": timeout = try url.seconds(value, name, limit: 3600)
        case "publish_timeout": publishTimeout = try url.seconds(value, name, limit: 3600)
        case "session_timeout": sessionTimeout = try url.seconds(value, name, limit: 3600)
        case "commit_interval": commitInterval = try url.seconds(value, name, limit: 3600)
        case "clean_interval": cleanInterval = try url.seconds(value, name, limit: 3600)
        case "poll_timeout": pollTimeout = try url.seconds(value, name, limit: 3600)
        case "metrics_interval": metricsInterval = value == "0" ? nil : try url.seconds(value, name, limit: 3600)
        case "partitions": partitions = try url.number(value, name, 1...10_000)
        case "replication": replication = try url.number(value, name, 1...100)
        case "max_body": maxBodyBytes = try url.number(value, name, 1...(512 << 20))
        case "instance":
            guard NameRules.isValid(value) else {
                throw url.invalid("instance is no name: letters, digits and . _ - : /")
            }
            instance = value
        case "sasl":
            guard let known = Mechanism(rawValue: value.uppercased()) else {
                throw url.invalid("sasl is one of \(Mechanism.allCases.map(\.rawValue).joined(separator: ", "))")
            }
            mechanism = known
        case "tls_ca", "tls_cert", "tls_key":
            guard tls != nil else { throw url.invalid("\(name) needs the scheme kafkas") }
            switch name {
            case "tls_ca": tls?.caFile = value
            case "tls_cert": tls?.certificateFile = value
            default: tls?.keyFile = value
            }
        case _ where name.hasPrefix("rdkafka.") && name.dropFirst(8).utf8.allSatisfy(Self.isOfASetting):
            let setting = String(name.dropFirst("rdkafka.".count))
            guard !Self.reserved.contains(setting) else {
                throw url.invalid("the setting '\(setting)' belongs to this library; it has options of its own for it")
            }
            settings[setting] = value
        default: throw url.unknownOption(name)
        }
    }
}
#endif

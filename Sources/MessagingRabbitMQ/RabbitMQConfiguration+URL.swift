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
        let parts = try BrokerURL(url, system: "RabbitMQ", example: "amqp://")
        guard parts.scheme == "amqp" || parts.scheme == "amqps" else {
            throw parts.invalid("its scheme is neither amqp nor amqps")
        }
        self.init(tls: parts.scheme == "amqps" ? TLS() : nil)
        if let user = parts.user {
            username = user
            password = parts.password ?? ""
        }
        let (host, port) = try parts.hostAndPort()
        self.host = host ?? self.host
        self.port = port ?? self.port
        let path = parts.path.dropFirst()
        if path.contains("/") { throw parts.invalid("its path has a second '/'; write one in a virtual host as %2f") }
        if !path.isEmpty { virtualHost = try parts.decoded(path, "the virtual host") }
        for (name, value) in parts.options { try apply(name, value, of: parts) }
        if tls != nil, Self.isAddress(self.host) {
            throw parts.invalid(
                "librabbitmq cannot check a certificate for an address; give the host's name in place of it"
            )
        }
        if let tls, (tls.certificateFile == nil) != (tls.keyFile == nil) {
            throw parts.invalid("tls_cert and tls_key belong together")
        }
    }

    private mutating func apply(_ name: String, _ value: String, of url: BrokerURL) throws(QueueError) {
        switch name {
        case "connect_timeout": connectTimeout = try url.seconds(value, name)
        case "command_timeout": commandTimeout = try url.seconds(value, name)
        case "consumer_timeout": consumerTimeout = try url.seconds(value, name)
        case "heartbeat": heartbeat = .seconds(try url.number(value, name, 1...3600))
        case "max_body": maxBodyBytes = try url.number(value, name, 1...(128 << 20))
        case "lanes": lanes = try url.number(value, name, Lanes.possible)
        case "management":
            guard value.hasPrefix("http://") || value.hasPrefix("https://"), !value.contains("@") else {
                throw url.invalid("management must be an http URL without credentials; those of the broker are used")
            }
            management = value.hasSuffix("/") ? String(value.dropLast()) : value
        case "tls_ca", "tls_cert", "tls_key":
            guard tls != nil else { throw url.invalid("\(name) needs the scheme amqps") }
            switch name {
            case "tls_ca": tls?.caFile = value
            case "tls_cert": tls?.certificateFile = value
            default: tls?.keyFile = value
            }
        default: throw url.unknownOption(name)
        }
    }

    private static func isAddress(_ host: String) -> Bool {
        host.contains(":") || host.utf8.allSatisfy { $0 == UInt8(ascii: ".") || (0x30...0x39).contains($0) }
    }
}
#endif

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
        let parts = try BrokerURL(url, system: "Redis", example: "redis://")
        self.init()
        // An empty user is the default user.
        username = parts.user.flatMap { $0.isEmpty ? nil : $0 }
        password = parts.password
        switch parts.scheme {
        case "redis", "rediss":
            if parts.scheme == "rediss" { tls = TLS() }
            let (host, port) = try parts.hostAndPort()
            endpoint = .tcp(host: host ?? "127.0.0.1", port: port ?? 6379)
            let database = parts.path.dropFirst()
            if !database.isEmpty { self.database = try parts.number(database, "the database", 0...1_000_000) }
        case "unix", "redis+unix", "redis+socket":
            guard parts.authority.isEmpty, !parts.path.isEmpty else {
                throw parts.invalid("a Unix socket needs an absolute path: unix:///path")
            }
            endpoint = .unix(path: try parts.decoded(parts.path, "the path"))
        default:
            throw parts.invalid("its scheme is none of redis, rediss and unix")
        }
        for (name, value) in parts.options { try apply(name, value, of: parts) }
    }

    private mutating func apply(_ name: String, _ value: String, of url: BrokerURL) throws(QueueError) {
        switch name {
        case "db": database = try url.number(value, "db", 0...1_000_000)
        case "connect_timeout": connectTimeout = try url.seconds(value, name)
        case "command_timeout": commandTimeout = try url.seconds(value, name)
        case "heartbeat": heartbeat = try url.seconds(value, name)
        case "max_body": maxBodyBytes = try url.number(value, name, 1...(512 << 20))
        case "tls_ca", "tls_cert", "tls_key", "tls_name":
            guard tls != nil else { throw url.invalid("\(name) needs the scheme rediss") }
            switch name {
            case "tls_ca": tls?.caFile = value
            case "tls_cert": tls?.certificateFile = value
            case "tls_key": tls?.keyFile = value
            default: tls?.serverName = value
            }
        default: throw url.unknownOption(name)
        }
    }
}
#endif

#if Redis
import Messaging
import NIOCore
import NIOPosix
import NIOSSL

/// How to reach a Redis server, and how long to wait for it.
public struct RedisConfiguration: Sendable {
    /// Where the server listens.
    public enum Endpoint: Sendable, Hashable, CustomStringConvertible {
        /// A host name or address, and a port.
        case tcp(host: String, port: Int)
        /// The path of a Unix domain socket.
        case unix(path: String)

        /// The endpoint without credentials, for errors and logs.
        public var description: String {
            switch self {
            case .tcp(let host, let port): host.contains(":") ? "[\(host)]:\(port)" : "\(host):\(port)"
            case .unix(let path): path
            }
        }

        var isUnix: Bool {
            if case .unix = self { true } else { false }
        }
    }

    /// How to encrypt the connection.
    public struct TLS: Sendable, Hashable {
        /// A file of PEM certificates to trust instead of the system's.
        public var caFile: String?
        /// A file with the client's certificate chain, PEM.
        public var certificateFile: String?
        /// A file with the client's private key, PEM.
        public var keyFile: String?
        /// The name that the server's certificate must be for; the host by default.
        public var serverName: String?

        /// Creates settings.
        ///
        /// Certificate and host name are always checked, and TLS 1.2 is the lowest version.
        ///
        /// - Parameters:
        ///   - caFile: A file of PEM certificates to trust instead of the system's.
        ///   - certificateFile: A file with the client's certificate chain.
        ///   - keyFile: A file with the client's private key.
        ///   - serverName: The name that the server's certificate must be for.
        public init(
            caFile: String? = nil,
            certificateFile: String? = nil,
            keyFile: String? = nil,
            serverName: String? = nil
        ) {
            self.caFile = caFile
            self.certificateFile = certificateFile
            self.keyFile = keyFile
            self.serverName = serverName
        }

        func context() throws -> NIOSSLContext {
            var configuration = TLSConfiguration.makeClientConfiguration()
            configuration.minimumTLSVersion = .tlsv12
            if let caFile { configuration.trustRoots = .file(caFile) }
            if let certificateFile {
                configuration.certificateChain = try NIOSSLCertificate.fromPEMFile(certificateFile)
                    .map { .certificate($0) }
            }
            if let keyFile {
                configuration.privateKey = .privateKey(try NIOSSLPrivateKey(file: keyFile, format: .pem))
            }
            return try NIOSSLContext(configuration: configuration)
        }
    }

    /// Where the server listens.
    public var endpoint: Endpoint
    /// How to encrypt the connection; `nil` means not at all.
    public var tls: TLS?
    /// The ACL user; `nil` means the default user.
    public var username: String?
    /// The password.
    ///
    /// It is never part of an error, a log or a description.
    public var password: String?
    /// The number of the database.
    public var database: Int
    /// How long connecting, encrypting and authenticating may take together with each other.
    public var connectTimeout: Duration
    /// How long one command may take, from writing it to its reply.
    public var commandTimeout: Duration
    /// The longest time a blocking read stays without a word from the server; a dead connection is found within this
    /// time and `commandTimeout` together.
    public var heartbeat: Duration
    /// The largest body, in bytes.
    ///
    /// Redis takes 512 MB; the default of 16 MiB is what RabbitMQ 4 takes, so that a queue can move there.
    public var maxBodyBytes: Int
    /// The event loops that carry the connections.
    public var eventLoopGroup: any EventLoopGroup

    /// After which time without a sign of life a consumer's registration is removed, if four leases are not longer.
    package var forgetsConsumersAfter: Duration = .seconds(60)
    /// Scripts that are broken on purpose, for the tests that prove what finds that.
    package var scriptChanges: [RedisScriptChange] = []

    /// Creates a configuration.
    ///
    /// - Parameters:
    ///   - endpoint: Where the server listens; 127.0.0.1:6379 by default.
    ///   - tls: How to encrypt the connection.
    ///   - username: The ACL user.
    ///   - password: The password.
    ///   - database: The number of the database.
    ///   - connectTimeout: How long connecting may take; 5 s by default.
    ///   - commandTimeout: How long one command may take; 10 s by default.
    ///   - heartbeat: The longest time of one blocking read; 10 s by default.
    ///   - maxBodyBytes: The largest body, in bytes.
    ///   - eventLoopGroup: The event loops that carry the connections; the process's shared ones by default.
    public init(
        endpoint: Endpoint = .tcp(host: "127.0.0.1", port: 6379),
        tls: TLS? = nil,
        username: String? = nil,
        password: String? = nil,
        database: Int = 0,
        connectTimeout: Duration = .seconds(5),
        commandTimeout: Duration = .seconds(10),
        heartbeat: Duration = .seconds(10),
        maxBodyBytes: Int = 16 << 20,
        eventLoopGroup: any EventLoopGroup = MultiThreadedEventLoopGroup.singleton
    ) {
        self.endpoint = endpoint
        self.tls = tls
        self.username = username
        self.password = password
        self.database = database
        self.connectTimeout = connectTimeout
        self.commandTimeout = commandTimeout
        self.heartbeat = heartbeat
        self.maxBodyBytes = maxBodyBytes
        self.eventLoopGroup = eventLoopGroup
    }

    /// The name for the server's certificate: none for addresses, which no certificate of the web names.
    var tlsServerName: String? {
        if let name = tls?.serverName { return name }
        guard case .tcp(let host, _) = endpoint, (try? SocketAddress(ipAddress: host, port: 0)) == nil else {
            return nil
        }
        return host
    }
}

extension RedisConfiguration: CustomStringConvertible {
    /// The configuration without credentials.
    public var description: String {
        let scheme = endpoint.isUnix ? "unix" : tls == nil ? "redis" : "rediss"
        return "\(scheme)://\(endpoint)\(database == 0 ? "" : "/\(database)")"
    }
}
#endif

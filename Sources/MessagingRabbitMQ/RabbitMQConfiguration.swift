#if RabbitMQ
import Messaging

#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#else
import Darwin
#endif

/// How to reach a RabbitMQ server, and how long to wait for it.
public struct RabbitMQConfiguration: Sendable {
    /// How to encrypt the connections.
    public struct TLS: Sendable, Hashable {
        /// A file of PEM certificates to trust instead of the system's.
        public var caFile: String?
        /// A file with the client's certificate chain, PEM.
        public var certificateFile: String?
        /// A file with the client's private key, PEM.
        public var keyFile: String?

        /// Creates settings.
        ///
        /// Certificate and host name are always checked, and TLS 1.2 is the lowest version.
        ///
        /// - Parameters:
        ///   - caFile: A file of PEM certificates to trust instead of the system's.
        ///   - certificateFile: A file with the client's certificate chain.
        ///   - keyFile: A file with the client's private key.
        public init(caFile: String? = nil, certificateFile: String? = nil, keyFile: String? = nil) {
            self.caFile = caFile
            self.certificateFile = certificateFile
            self.keyFile = keyFile
        }

        private static let systemFiles = [
            "/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/cert.pem",
            "/opt/homebrew/etc/openssl@3/cert.pem",
        ]

        /// The file of the certificates to trust; librabbitmq knows no default.
        func authorities() throws(QueueError) -> String {
            if let caFile { return caFile }
            guard let file = Self.systemFiles.first(where: { access($0, R_OK) == 0 }) else {
                throw QueueError(
                    .invalidArgument,
                    "the system's file of trusted certificates was not found; name one with tls_ca"
                )
            }
            return file
        }
    }

    /// The host name or address.
    public var host: String
    /// The port.
    public var port: Int
    /// How to encrypt the connections; `nil` means not at all.
    public var tls: TLS?
    /// The user.
    public var username: String
    /// The password.
    ///
    /// It is never part of an error, a log or a description.
    public var password: String
    /// The virtual host.
    public var virtualHost: String
    /// Where the management plugin answers, such as `http://127.0.0.1:15672`; `nil` means at the standard port beside a
    /// broker at its standard port, and nowhere else.
    public var management: String?
    /// How long connecting and logging in may take each.
    public var connectTimeout: Duration
    /// How long one call may take, the broker's confirmation included.
    public var commandTimeout: Duration
    /// How often both sides say that they are alive, in whole seconds; who is silent twice as long is given up.
    public var heartbeat: Duration
    /// The `consumer_timeout` of the server: a consumer that holds a delivery longer loses everything it holds.
    ///
    /// A delivery that was held for nine tenths of it is given back by itself, although its lease was renewed.
    public var consumerTimeout: Duration
    /// The largest body, in bytes.
    ///
    /// RabbitMQ 3 takes 128 MiB, RabbitMQ 4 takes 16 MiB, the default.
    public var maxBodyBytes: Int
    /// How many lanes a keyed queue gets that this client declares, 1 to 64.
    ///
    /// Each lane is a queue per group, and messages of one key share one. At most as many consumers work at a time. The
    /// number is fixed for the life of a queue: declaring it with another one is a conflict.
    public var lanes: Int

    /// Creates a configuration.
    ///
    /// - Parameters:
    ///   - host: The host name or address; 127.0.0.1 by default.
    ///   - port: The port; 5672 by default, 5671 with TLS.
    ///   - tls: How to encrypt the connections.
    ///   - username: The user; `guest` by default.
    ///   - password: The password; `guest` by default.
    ///   - virtualHost: The virtual host; `/` by default.
    ///   - management: Where the management plugin answers.
    ///   - connectTimeout: How long connecting and logging in may take each; 5 s by default.
    ///   - commandTimeout: How long one call may take; 10 s by default.
    ///   - heartbeat: How often both sides say that they are alive; 15 s by default.
    ///   - consumerTimeout: The `consumer_timeout` of the server; 30 minutes by default, there and here.
    ///   - maxBodyBytes: The largest body, in bytes.
    ///   - lanes: How many lanes a keyed queue gets; 8 by default.
    public init(
        host: String = "127.0.0.1",
        port: Int? = nil,
        tls: TLS? = nil,
        username: String = "guest",
        password: String = "guest",
        virtualHost: String = "/",
        management: String? = nil,
        connectTimeout: Duration = .seconds(5),
        commandTimeout: Duration = .seconds(10),
        heartbeat: Duration = .seconds(15),
        consumerTimeout: Duration = .seconds(1800),
        maxBodyBytes: Int = 16 << 20,
        lanes: Int = 8
    ) {
        self.host = host
        self.port = port ?? (tls == nil ? 5672 : 5671)
        self.tls = tls
        self.username = username
        self.password = password
        self.virtualHost = virtualHost
        self.management = management
        self.connectTimeout = connectTimeout
        self.commandTimeout = commandTimeout
        self.heartbeat = heartbeat
        self.consumerTimeout = consumerTimeout
        self.maxBodyBytes = maxBodyBytes
        self.lanes = lanes
    }

    /// Where the server listens, without credentials, for errors and logs.
    var endpoint: String { host.contains(":") ? "[\(host)]:\(port)" : "\(host):\(port)" }

    /// How long a delivery may be held, renewed or not.
    var longestHold: Duration { consumerTimeout * 9 / 10 }

    /// Where to look for the management plugin.
    var managementURL: String? {
        if let management { return management }
        let shown = host.contains(":") ? "[\(host)]" : host
        switch (port, tls == nil) {
        case (5672, true): return "http://\(shown):15672"
        case (5671, false): return "https://\(shown):15671"
        default: return nil
        }
    }
}

extension RabbitMQConfiguration: CustomStringConvertible {
    /// The configuration without credentials.
    public var description: String {
        let shown = virtualHost == "/" ? "" : "/" + virtualHost.replacing("/", with: "%2f")
        return "\(tls == nil ? "amqp" : "amqps")://\(endpoint)\(shown)"
    }
}
#endif

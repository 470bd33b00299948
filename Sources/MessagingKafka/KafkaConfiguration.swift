#if Kafka
import Messaging

/// How to reach Kafka, how long to wait for it, and what queues are made of.
public struct KafkaConfiguration: Sendable {
    /// How to encrypt connections.
    public struct TLS: Sendable, Hashable {
        /// A file of PEM certificates to trust instead of the system's.
        public var caFile: String?
        /// A file with the client's certificate chain, PEM.
        public var certificateFile: String?
        /// A file with the client's private key, PEM.
        public var keyFile: String?

        /// Creates settings.
        ///
        /// Certificate and host name are always checked.
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
    }

    /// How a user and password are proved.
    public enum Mechanism: String, Sendable, Hashable, CaseIterable {
        /// The password itself; only with TLS.
        case plain = "PLAIN"
        /// SCRAM with SHA-256.
        case scramSHA256 = "SCRAM-SHA-256"
        /// SCRAM with SHA-512.
        case scramSHA512 = "SCRAM-SHA-512"
    }

    /// Where brokers listen, as `host:port`; one that answers is enough.
    public var servers: [String]
    /// How to encrypt connections; `nil` means not at all.
    public var tls: TLS?
    /// The user; `nil` means none.
    public var username: String?
    /// The password.
    ///
    /// It is never part of an error, a log or a description.
    public var password: String?
    /// How user and password are proved.
    public var mechanism: Mechanism
    /// How long one request may take, joining a group included.
    public var timeout: Duration
    /// How long the broker may take to confirm a message, reconnecting included.
    public var publishTimeout: Duration
    /// How long a member may be silent before the broker gives its messages to others; the broker has bounds of its own,
    /// by default 6 s to 30 min.
    public var sessionTimeout: Duration
    /// The shortest time between two commits of a member: what was settled within it comes again after a crash.
    public var commitInterval: Duration
    /// How often a member removes what every group has finished.
    public var cleanInterval: Duration
    /// How long the consumers of a group in this client may call nothing while messages are ready for them or held by them;
    /// then the group's other members get them, until a consumer asks again.
    public var pollTimeout: Duration
    /// How often librdkafka's figures are reported as metrics; `nil` means never.
    public var metricsInterval: Duration?
    /// How many partitions a new queue has: at most so many clients share the work of a group.
    public var partitions: Int
    /// On how many brokers a new queue is; `nil` means three, or all when there are fewer.
    public var replication: Int?
    /// The largest body, in bytes.
    public var maxBodyBytes: Int
    /// Whether `declare` reads the settings of topics that are there; librdkafka's mock cluster never answers that.
    var checksTopics = true
    /// A name that makes this client a static member: it gets its partitions back when it restarts within the session
    /// timeout, and nobody gets them before.
    public var instance: String?
    /// Further settings of librdkafka, by name; see https://github.com/confluentinc/librdkafka/blob/v2.0.2/CONFIGURATION.md.
    public var settings: [String: String]

    /// Creates a configuration.
    ///
    /// - Parameters:
    ///   - servers: Where brokers listen; 127.0.0.1:9092 by default.
    ///   - tls: How to encrypt connections.
    ///   - username: The user.
    ///   - password: The password.
    ///   - mechanism: How they are proved.
    ///   - timeout: How long one request may take; 15 s by default.
    ///   - publishTimeout: How long a confirmation may take; 30 s by default.
    ///   - sessionTimeout: How long a member may be silent; 10 s by default.
    ///   - commitInterval: The shortest time between two commits; 100 ms by default.
    ///   - cleanInterval: How often finished records are removed; 1 minute by default.
    ///   - pollTimeout: How long consumers may call nothing while there is something for them; 5 min by default.
    ///   - metricsInterval: How often librdkafka's figures are reported; 15 s by default.
    ///   - partitions: How many partitions a new queue has; 4 by default.
    ///   - replication: On how many brokers a new queue is.
    ///   - maxBodyBytes: The largest body; 1 MiB by default.
    ///   - instance: A name that makes this client a static member.
    ///   - settings: Further settings of librdkafka.
    public init(
        servers: [String] = ["127.0.0.1:9092"],
        tls: TLS? = nil,
        username: String? = nil,
        password: String? = nil,
        mechanism: Mechanism = .plain,
        timeout: Duration = .seconds(15),
        publishTimeout: Duration = .seconds(30),
        sessionTimeout: Duration = .seconds(10),
        commitInterval: Duration = .milliseconds(100),
        cleanInterval: Duration = .seconds(60),
        pollTimeout: Duration = .seconds(300),
        metricsInterval: Duration? = .seconds(15),
        partitions: Int = 4,
        replication: Int? = nil,
        maxBodyBytes: Int = 1 << 20,
        instance: String? = nil,
        settings: [String: String] = [:]
    ) {
        self.servers = servers
        self.tls = tls
        self.username = username
        self.password = password
        self.mechanism = mechanism
        self.timeout = timeout
        self.publishTimeout = publishTimeout
        self.sessionTimeout = sessionTimeout
        self.commitInterval = commitInterval
        self.cleanInterval = cleanInterval
        self.pollTimeout = pollTimeout
        self.metricsInterval = metricsInterval
        self.partitions = partitions
        self.replication = replication
        self.maxBodyBytes = maxBodyBytes
        self.instance = instance
        self.settings = settings
    }

    /// What a record may have beside its body: key, headers and history.
    static let overhead = 512 << 10
    /// What this library sets itself and depends on.
    static let reserved: Set<String> = [
        "bootstrap.servers", "metadata.broker.list", "group.id", "group.instance.id", "enable.auto.commit",
        "enable.auto.offset.store", "auto.offset.reset", "partition.assignment.strategy", "enable.idempotence", "acks",
        "request.required.acks", "allow.auto.create.topics", "transactional.id", "enable.partition.eof", "log.queue",
        "sasl.username", "sasl.password", "sasl.mechanism", "sasl.mechanisms", "security.protocol", "isolation.level",
        "test.mock.num.brokers",
    ]

    /// What every client has.
    private var common: [(name: String, value: String)] {
        var list: [(name: String, value: String)] = [
            ("bootstrap.servers", servers.joined(separator: ",")), ("client.id", "swift-message-queue"),
            ("socket.keepalive.enable", "true"), ("socket.nagle.disable", "true"),
            ("socket.timeout.ms", text(max(timeout, .seconds(1)))), ("reconnect.backoff.ms", "100"),
            ("reconnect.backoff.max.ms", "2000"), ("message.max.bytes", String(maxBodyBytes + Self.overhead)),
        ]
        let isSASL = username != nil
        list.append(("security.protocol", (isSASL ? "sasl_" : "") + (tls == nil ? "plaintext" : "ssl")))
        if let tls {
            if let file = tls.caFile { list.append(("ssl.ca.location", file)) }
            if let file = tls.certificateFile { list.append(("ssl.certificate.location", file)) }
            if let file = tls.keyFile { list.append(("ssl.key.location", file)) }
        }
        if let username {
            list.append(("sasl.mechanism", mechanism.rawValue))
            list.append(("sasl.username", username))
            list.append(("sasl.password", password ?? ""))
        }
        return list
    }

    private var further: [(name: String, value: String)] {
        settings.sorted { $0.key < $1.key }.map { ($0.key, $0.value) }
    }

    private var statisticsInterval: String { metricsInterval.map { text(max($0, .milliseconds(100))) } ?? "0" }

    private func text(_ duration: Duration) -> String { String(min(duration.milliseconds, 3_600_000)) }

    /// What a client that writes has.
    var producerSettings: [(name: String, value: String)] {
        common + [
            ("log.queue", "true"), ("enable.idempotence", "true"), ("linger.ms", "1"),
            // A topic that was deleted must not come back with the broker's defaults.
            ("allow.auto.create.topics", "false"),
            ("message.timeout.ms", text(publishTimeout)), ("queue.buffering.max.messages", "100000"),
            ("queue.buffering.max.kbytes", "262144"), ("statistics.interval.ms", statisticsInterval),
        ] + further
    }

    private var consumerSettings: [(name: String, value: String)] {
        [
            ("enable.auto.commit", "false"), ("enable.auto.offset.store", "false"), ("auto.offset.reset", "earliest"),
            ("isolation.level", "read_committed"), ("allow.auto.create.topics", "false"),
            ("queued.min.messages", "5000"), ("queued.max.messages.kbytes", "8192"),
            ("fetch.message.max.bytes", String(max(1 << 20, maxBodyBytes + Self.overhead))),
        ]
    }

    /// What a member of a group has.
    func memberSettings(group: String) -> [(name: String, value: String)] {
        let session = min(max(sessionTimeout, .milliseconds(100)), .seconds(3600))
        let beat = min(.seconds(3), session / 4)
        var list = common + consumerSettings
        // The member's thread polls whatever its consumers do, so it may never be silent for long; and this is also how long
        // a rebalance waits for a member that is alive and does not join.
        list += [
            ("log.queue", "true"), ("group.id", group), ("partition.assignment.strategy", "range,roundrobin"),
            ("session.timeout.ms", text(session)), ("heartbeat.interval.ms", text(beat)),
            ("max.poll.interval.ms", text(session)), ("fetch.wait.max.ms", "100"),
            ("fetch.error.backoff.ms", "100"), ("statistics.interval.ms", statisticsInterval),
        ]
        if let instance { list.append(("group.instance.id", instance)) }
        return list + further
    }

    /// What a client has that reads by offsets, or asks what a group has committed; it joins no group.
    func readerSettings(group: String = "mq.reader") -> [(name: String, value: String)] {
        common + consumerSettings + [
            ("group.id", group), ("enable.partition.eof", "true"), ("fetch.wait.max.ms", "10"),
            ("fetch.error.backoff.ms", "50"),
            // From 2.0 on librdkafka keeps a partition that was read and whose topic it then sees gone, and its thread with
            // it (https://github.com/confluentinc/librdkafka/issues/4674); it asks for what it needs as it needs it.
            ("topic.metadata.refresh.interval.ms", "-1"),
        ] + further
    }
}

extension KafkaConfiguration: CustomStringConvertible {
    /// The configuration without credentials.
    public var description: String { "\(tls == nil ? "kafka" : "kafkas")://\(servers.joined(separator: ","))" }
}
#endif

import Logging
import Messaging
import MessagingBaselines
import MessagingMemory

#if Kafka
import MessagingKafka
#endif
#if RabbitMQ
import MessagingRabbitMQ
#endif
#if Redis
import MessagingRedis
#endif
#if SQLite
import MessagingSQLite
#endif

/// A backend that was opened from a name or URL.
struct OpenBackend: Sendable {
    /// The queue, with metrics.
    let queue: any MessageQueue
    /// Where it is, without credentials: `memory`, `redis://127.0.0.1:6379`.
    let description: String
    /// Where the choice comes from: `--backend`, a variable, a file or the default.
    let source: String
    /// Where the pipeline keeps what is no message, beside the queue.
    let stores: PipelineStores
    /// The client library that `mq bench` compares it with; `nil` when there is none.
    var plain: PlainLibrary?

    /// Whether what it holds ends with this process.
    var isEphemeral: Bool { queue.system == "memory" }

    /// What to tell a person who publishes to or consumes from a backend that ends with the process.
    static let ephemeralNote =
        "the memory backend ends with this process and no other process sees it; "
        + "choose another with --backend, such as sqlite or redis"
}

/// The one place that knows every backend.
enum Backends {
    /// A backend that this project has or will have.
    struct Kind: Sendable {
        /// The short name, which means the local default.
        let name: String
        /// The schemes of its URLs.
        let schemes: [String]
        /// Whether it is part of this build.
        let isBuilt: Bool
        /// What it is, in a few words.
        let summary: String
    }

    #if Kafka
    private static let hasKafka = true
    #else
    private static let hasKafka = false
    #endif
    #if Redis
    private static let hasRedis = true
    #else
    private static let hasRedis = false
    #endif
    #if RabbitMQ
    private static let hasRabbitMQ = true
    #else
    private static let hasRabbitMQ = false
    #endif
    #if SQLite
    private static let hasSQLite = true
    #else
    private static let hasSQLite = false
    #endif

    /// The backend that is used when nothing was chosen: the first that outlives the process and needs no server.
    static let standard = hasSQLite ? "sqlite" : "memory"
    /// The file that the name `sqlite` means.
    static let standardFile = "mq.sqlite"

    /// Every backend, also those that this build lacks.
    static let list: [Kind] = [
        Kind(name: "memory", schemes: ["memory"], isBuilt: true, summary: "in this process; ends with it"),
        Kind(
            name: "sqlite",
            schemes: ["sqlite"],
            isBuilt: hasSQLite,
            summary: "one file, no server; ./\(standardFile) unless a URL says otherwise"
        ),
        Kind(
            name: "redis",
            schemes: ["redis", "rediss", "unix"],
            isBuilt: hasRedis,
            summary: "Redis Streams, Redis 7.0 or newer"
        ),
        Kind(
            name: "rabbitmq",
            schemes: ["amqp", "amqps"],
            isBuilt: hasRabbitMQ,
            summary: "quorum queues, RabbitMQ 3.10 or newer"
        ),
        Kind(
            name: "kafka",
            schemes: ["kafka", "kafkas"],
            isBuilt: hasKafka,
            summary: "topics and consumer groups, Apache Kafka 2.1 or newer"
        ),
    ]

    /// Opens a backend; no connection is made yet.
    ///
    /// - Parameters:
    ///   - spec: A short name or a URL; `nil` means what the settings say, or else the default.
    ///   - source: Where `spec` comes from, for error texts.
    ///   - creates: Whether a file that is not there is created.
    ///   - settings: The environment and the configuration file.
    ///   - timeout: How long one call to the broker may take; `nil` means as the URL says.
    ///   - logger: Where the backend reports.
    /// - Returns: The backend; close its queue when done.
    /// - Throws: `CLIError` for an unknown name or scheme, `QueueError` for a broken URL, neither with credentials.
    static func open(
        _ spec: String?,
        from source: String = "--backend",
        creates: Bool = false,
        settings: Settings,
        timeout: Duration? = nil,
        logger: Logger
    ) throws -> OpenBackend {
        let chosen =
            spec.map { Settings.Value(text: $0, source: source) }
            ?? settings.value("backend")
            ?? Settings.Value(text: standard, source: "the default")
        let kind = try kind(of: chosen)
        switch kind.name {
        case "memory":
            return OpenBackend(
                queue: InstrumentedQueue(MemoryQueue()),
                description: "memory",
                source: chosen.source,
                stores: .memory()
            )
        #if SQLite
        case "sqlite":
            let url =
                chosen.text.contains(":")
                ? chosen
                : settings.value("sqlite_url")
                    ?? Settings.Value(text: "sqlite:\(standardFile)", source: chosen.source)
            var configuration = try SQLiteConfiguration(url: url.text)
            if let timeout { configuration.timeout = timeout }
            configuration.createsFile = creates
            let file = SQLiteQueue(configuration, logger: logger)
            return OpenBackend(
                queue: InstrumentedQueue(file),
                description: "sqlite:\(configuration.path)",
                source: url.source,
                stores: .sqlite(SQLiteStorage(file)),
                plain: .sqlite(configuration)
            )
        #endif
        #if Redis
        case "redis":
            let url =
                chosen.text.contains("://")
                ? chosen
                : settings.value("redis_url") ?? Settings.Value(text: "redis://127.0.0.1:6379", source: chosen.source)
            try checkUserInfo(url)
            var configuration = try RedisConfiguration(url: url.text)
            if let timeout {
                configuration.connectTimeout = timeout
                configuration.commandTimeout = timeout
            }
            let redis = RedisQueue(configuration, logger: logger)
            return OpenBackend(
                queue: InstrumentedQueue(redis),
                description: configuration.description,
                source: url.source,
                stores: .redis(RedisCommands(redis)),
                plain: .redis(configuration)
            )
        #endif
        #if RabbitMQ
        case "rabbitmq":
            let url =
                chosen.text.contains("://")
                ? chosen
                : settings.value("rabbitmq_url")
                    ?? Settings.Value(text: "amqp://127.0.0.1:5672", source: chosen.source)
            try checkUserInfo(url)
            var configuration = try RabbitMQConfiguration(url: url.text)
            if let timeout {
                configuration.connectTimeout = timeout
                configuration.commandTimeout = timeout
            }
            return OpenBackend(
                queue: InstrumentedQueue(RabbitMQQueue(configuration, logger: logger)),
                description: configuration.description,
                source: url.source,
                stores: try .besideBroker(settings: settings, timeout: timeout, logger: logger),
                plain: .rabbitMQ(configuration)
            )
        #endif
        #if Kafka
        case "kafka":
            let url =
                chosen.text.contains("://")
                ? chosen
                : settings.value("kafka_url") ?? Settings.Value(text: "kafka://127.0.0.1:9092", source: chosen.source)
            try checkUserInfo(url)
            var configuration = try KafkaConfiguration(url: url.text)
            if let timeout {
                configuration.timeout = timeout
                configuration.publishTimeout = timeout
            }
            return OpenBackend(
                queue: InstrumentedQueue(KafkaQueue(configuration, logger: logger)),
                description: configuration.description,
                source: url.source,
                stores: try .besideBroker(settings: settings, timeout: timeout, logger: logger),
                plain: .kafka(configuration)
            )
        #endif
        default: throw notBuilt(kind, chosen.source)
        }
    }

    /// Finds the backend that a name or URL means.
    static func kind(of chosen: Settings.Value) throws -> Kind {
        let text = chosen.text
        // `sqlite:file` is a URL too, as RFC 3986 has it.
        let isURL = text.contains("://") || text.lowercased().hasPrefix("sqlite:")
        let word = (isURL ? text[..<(text.firstIndex(of: ":") ?? text.endIndex)] : text[...]).lowercased()
        let found = list.first { kind in isURL ? kind.schemes.contains(word) : kind.name == word }
        if let found {
            guard found.isBuilt else { throw notBuilt(found, chosen.source) }
            return found
        }
        // What is no plain word may hold a password and is not repeated.
        let isPlain =
            (1...20).contains(word.utf8.count)
            && word.allSatisfy { $0.isASCII && ($0.isLetter || $0.isNumber || $0 == "-") }
        let shown =
            isPlain ? (isURL ? "unknown scheme '\(word)://'" : "unknown backend '\(word)'") : "no backend or URL"
        throw CLIError(.usage, "\(shown) in \(chosen.source)", do: "use \(available)")
    }

    private static var available: String {
        let names = list.filter(\.isBuilt).map(\.name)
        let schemes = list.filter(\.isBuilt).flatMap(\.schemes).filter { $0 != "memory" }.map { "\($0)://" }
        let missing = list.filter { !$0.isBuilt }.map(\.name).joined(separator: ", ")
        let known = (names + schemes).joined(separator: ", ")
        return missing.isEmpty ? known : known + " (not part of this build: \(missing))"
    }

    private static func notBuilt(_ kind: Kind, _ source: String) -> CLIError {
        CLIError(.usage, "the \(kind.name) backend of \(source) is not part of this build yet", do: "use \(available)")
    }

    /// A password with `/`, `?` or `#` in it moves the end of the host; better to say so than to connect elsewhere.
    private static func checkUserInfo(_ url: Settings.Value) throws {
        guard let separator = url.text.firstRange(of: "://") else { return }
        let rest = url.text[separator.upperBound...]
        guard let end = rest.firstIndex(where: { "/?#".contains($0) }), rest[end...].contains("@") else { return }
        throw CLIError(
            .usage,
            "the URL of \(url.source) has an at sign behind its host",
            do: "percent-encode the user name and password: / as %2F, ? as %3F, # as %23, at as %40, % as %25"
        )
    }
}

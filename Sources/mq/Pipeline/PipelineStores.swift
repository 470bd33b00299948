import Logging
import Messaging
import MessagingPipeline

#if Redis
import MessagingRedis
#endif
#if SQLite
import MessagingSQLite
#endif

/// What the layers keep, on the backend of their queue unless `--stores` says otherwise.
struct PipelineStores: Sendable {
    let deduplication: any DeduplicationStore
    let statements: any StatementStore
    /// What the collector remembers of its sources.
    let sources: any SourceStateStore

    /// Whether a backend, by its name or URL, can keep what is no message.
    static func canBe(at place: String) -> Bool {
        let kind = try? Backends.kind(of: Settings.Value(text: place, source: ""))
        return kind.map { ["memory", "sqlite", "redis"].contains($0.name) } ?? false
    }

    /// Stores that end with this process.
    static func memory() -> PipelineStores {
        PipelineStores(
            deduplication: MemoryDeduplicationStore(),
            statements: MemoryStatementStore(),
            sources: MemorySourceStateStore()
        )
    }

    #if Redis
    /// Stores in Redis, shared by all processes.
    static func redis(_ redis: RedisCommands) -> PipelineStores {
        PipelineStores(
            deduplication: RedisDeduplicationStore(redis),
            statements: RedisStatementStore(redis),
            sources: RedisSourceStateStore(redis)
        )
    }
    #endif

    #if SQLite
    /// Stores in the file of the queues, shared by all processes that use it.
    static func sqlite(_ storage: SQLiteStorage) -> PipelineStores {
        let tables = SQLitePipelineTables(storage)
        return PipelineStores(
            deduplication: SQLiteDeduplicationStore(tables),
            statements: SQLiteStatementStore(tables),
            sources: SQLiteSourceStateStore(tables)
        )
    }
    #endif

    /// Stores for a broker that keeps messages and nothing else: the SQLite file that the name `sqlite` means, which all
    /// processes of a machine share; in this process where the build has no SQLite.
    static func besideBroker(settings: Settings, timeout: Duration?, logger: Logger) throws -> PipelineStores {
        #if SQLite
        let url = settings.value("sqlite_url")?.text ?? "sqlite:\(Backends.standardFile)"
        var configuration = try SQLiteConfiguration(url: url)
        if let timeout { configuration.timeout = timeout }
        configuration.createsFile = true
        // Nothing is opened before a layer asks for something.
        return .sqlite(SQLiteStorage(SQLiteQueue(configuration, logger: logger)))
        #else
        return .memory()
        #endif
    }
}

import MessagingPipeline

#if Redis
import MessagingRedis
#endif

/// What the last two layers keep, on the backend of their queue.
struct PipelineStores: Sendable {
    let deduplication: any DeduplicationStore
    let statements: any StatementStore

    /// Stores that end with this process.
    static func memory() -> PipelineStores {
        PipelineStores(deduplication: MemoryDeduplicationStore(), statements: MemoryStatementStore())
    }

    #if Redis
    /// Stores in Redis, shared by all processes.
    static func redis(_ redis: RedisCommands) -> PipelineStores {
        PipelineStores(
            deduplication: RedisDeduplicationStore(redis),
            statements: RedisStatementStore(redis)
        )
    }
    #endif
}

import BrokerSupport
import Foundation
import Logging
import Messaging
import MessagingPipeline
import MessagingRedis
import PipelineTestSupport
import Testing

@testable import mq

/// The laws of the pipeline's stores on a live Redis.
@Suite(
    "Stores in Redis",
    .enabled(if: PrivateRedis.isInstalled, "redis-server is not installed; make test installs it"),
    .serialized,
    .timeLimit(.minutes(5))
)
struct RedisStoreTests {
    private func withStores(_ body: ([PipelineStores], PrivateRedis) async throws -> Void) async throws {
        let server = try PrivateRedis()
        let queues = try (0..<3).map { _ in
            RedisQueue(
                try RedisConfiguration(url: server.url),
                logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }
            )
        }
        var failure: (any Error)?
        do {
            try await body(queues.map { .redis(RedisCommands($0)) }, server)
        } catch {
            failure = error
        }
        for queue in queues { await queue.close() }
        if let failure { throw failure }
    }

    private func bed(_ stores: [PipelineStores]) -> StoreBed {
        StoreBed(deduplication: stores.map(\.deduplication), statements: stores.map(\.statements))
    }

    @Test func laws() async throws {
        try await withStores { stores, server in
            for law in StoreLaw.all {
                try server.cli("FLUSHALL")
                do {
                    try await law.check(bed(stores))
                } catch {
                    Issue.record("\(law): \(error)")
                }
            }
        }
    }

    @Test func theModel() async throws {
        try await withStores { stores, server in
            for seed in 200..<215 as Range<UInt64> {
                try server.cli("FLUSHALL")
                try await StoreModelCheck.run(seed: seed, count: 80, workers: 5, bed(stores))
            }
            // One slot of a cluster for each store, and nothing of the layout before.
            let keys = try server.cli("KEYS", "*").split(separator: "\n")
            #expect(keys.count > 100)
            #expect(keys.allSatisfy { $0.hasPrefix("{mq:pipeline:2:dedup}:") || $0.hasPrefix("{mq:pipeline:2:api}:") })
        }
    }

    @Test func sourceStates() async throws {
        try await withStores { stores, _ in
            let store = stores[0].sources
            let state = SourceState(etag: "\"a\"", lastModified: nil, fetchedAt: Date(timeIntervalSince1970: 12.5))
            #expect(try await store.state(of: "https://example.org/é") == nil)
            try await store.save(state, of: "https://example.org/é")
            #expect(try await stores[1].sources.state(of: "https://example.org/é") == state)
            #expect(try await store.state(of: "https://example.org/") == nil)
        }
    }
}

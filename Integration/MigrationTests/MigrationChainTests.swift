import BrokerSupport
import Testing

/// A queue moves several times, while the same producers and consumers run through all of it.
@Suite("Migrations one after the other", .serialized, .timeLimit(.minutes(30)))
struct MigrationChainTests {
    private static let hasServers = PrivateRedis.isInstalled && PrivateRabbitMQ.isInstalled
    static let routes = LiveMove.wanted(hasServers ? [["sqlite", "redis", "rabbitmq", "sqlite"]] : [])
    static let kafkaRoutes = LiveMove.wanted(hasServers ? [["redis", "rabbitmq", "kafka", "redis"]] : [])

    @Test("the same clients follow over three moves: every confirmed message is handled", arguments: routes)
    func chain(route: [String]) async throws { try await LiveMove.run(route) }

    // The last side is the first one: its queue is there still, closed and empty.
    @Test(
        "the same over Kafka, and back to where it began",
        .enabled(if: PrivateKafka.isInstalled, "\(PrivateKafka.unwanted)"),
        arguments: kafkaRoutes
    )
    func chainOnKafka(route: [String]) async throws { try await LiveMove.run(route) }
}

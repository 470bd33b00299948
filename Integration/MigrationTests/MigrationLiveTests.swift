import BrokerSupport
import Testing

/// A queue moves while producers and consumers run, by the program that people use.
@Suite("Migrations of a live queue", .serialized, .timeLimit(.minutes(30)))
struct MigrationLiveTests {
    static let pairs = LiveMove.wanted(
        [["sqlite", "sqlite"]] + (PrivateRedis.isInstalled ? [["sqlite", "redis"], ["redis", "sqlite"]] : [])
            + (PrivateRabbitMQ.isInstalled ? [["sqlite", "rabbitmq"], ["rabbitmq", "sqlite"]] : [])
            + (PrivateRedis.isInstalled && PrivateRabbitMQ.isInstalled
                ? [["redis", "rabbitmq"], ["rabbitmq", "redis"]] : [])
    )
    static let kafkaPairs = LiveMove.wanted(
        [["sqlite", "kafka"], ["kafka", "sqlite"]]
            + (PrivateRedis.isInstalled ? [["redis", "kafka"], ["kafka", "redis"]] : [])
            + (PrivateRabbitMQ.isInstalled ? [["rabbitmq", "kafka"]] : [])
    )

    @Test("two producers, three consumers in two groups: every confirmed message is handled", arguments: pairs)
    func live(pair: [String]) async throws { try await LiveMove.run(pair) }

    @Test(
        "the same from and to Kafka",
        .enabled(if: PrivateKafka.isInstalled, "\(PrivateKafka.unwanted)"),
        arguments: kafkaPairs
    )
    func liveOnKafka(pair: [String]) async throws { try await LiveMove.run(pair) }
}

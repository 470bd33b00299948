import BrokerSupport
import Foundation
import Messaging
import MessagingPipeline
import MessagingRedis
import TestSupport
import Testing

/// The pipeline as a user runs it: one command, on memory, on SQLite and on Redis.
@Suite(
    "The pipeline counts the same everywhere",
    .enabled(
        if: PrivateRedis.isInstalled && PrivateRabbitMQ.isInstalled,
        "redis-server or rabbitmq-server is not installed; make test installs them"
    ),
    .serialized,
    .timeLimit(.minutes(5))
)
struct PipelineCountTests {
    private struct Summary: Decodable, Equatable {
        var collected, analysed, unique, duplicates, dead: Int
        var already_known: Int
    }

    private func run(
        _ arguments: [String],
        environment: [String: String] = [:],
        input: String? = nil
    ) async throws -> Summary {
        let outcome = try await MQProcess.run(
            ["pipeline", "run", "--until-idle", "--json"] + arguments,
            environment: environment,
            input: input
        )
        #expect(outcome.status == 0, "\(outcome.errors)")
        return try JSONDecoder().decode(Summary.self, from: Data(outcome.output.utf8))
    }

    @Test(arguments: Place.Kind.ordinary)
    func agreesWithMemory(_ kind: Place.Kind) async throws { try await agrees(kind) }

    @Test(.enabled(if: PrivateKafka.isInstalled, "\(PrivateKafka.unwanted)"))
    func agreesWithMemoryOnKafka() async throws { try await agrees(.kafka) }

    private func agrees(_ kind: Place.Kind) async throws {
        let harness = try await PipelineHarness(kind, statements: 400)
        defer { harness.remove() }
        let duplicates = harness.expected.count { $0.duplicateOf != nil }
        let expected = Summary(
            collected: 400,
            analysed: 400,
            unique: 400 - duplicates,
            duplicates: duplicates,
            dead: 0,
            already_known: 0
        )
        #expect(duplicates > 50)
        #expect(try await run(["--backend", "memory", "--input", harness.input.path]) == expected)
        let url = harness.place.url
        let environment = harness.place.environment
        let first = try await run(["--backend", url, "--input", harness.input.path], environment: environment)
        #expect(first == expected)
        #expect(try await harness.result() == harness.expected)

        let again = try await run(["--backend", url, "--input", harness.input.path], environment: environment)
        // RabbitMQ and Kafka know no ids: the same statements come once more and change nothing.
        let isKnown = kind != .rabbitmq && kind != .kafka
        #expect(again.collected == (isKnown ? 0 : 400) && again.analysed == (isKnown ? 0 : 400))
        #expect(again.already_known == (isKnown ? 400 : 0))
        #expect(again.unique == expected.unique && again.duplicates == expected.duplicates)
        #expect(try await harness.result() == harness.expected)
    }

    @Test(.enabled(if: PrivateKafka.isInstalled, "\(PrivateKafka.unwanted)"))
    func oneLayerOnKafka() async throws {
        let harness = try await PipelineHarness(.redis, statements: 200)
        defer { harness.remove() }
        let other = try PrivateKafka()
        let summary = try await run([
            "--backend", harness.place.url, "--layer", "deduplication=\(other.url)", "--input", harness.input.path,
        ])
        #expect(summary.collected == 200 && summary.unique + summary.duplicates == 200)
        #expect(try await harness.result() == harness.expected)
    }

    @Test func aLayerOnAnotherServer() async throws {
        let harness = try await PipelineHarness(.redis, statements: 200)
        defer { harness.remove() }
        let other = try PrivateRedis()
        let summary = try await run([
            "--backend", harness.place.url, "--layer", "deduplication=\(other.url)", "--input", harness.input.path,
        ])
        #expect(summary.collected == 200 && summary.unique + summary.duplicates == 200)
        #expect(try await harness.result() == harness.expected)
        #expect(try other.cli("EXISTS", "queue:deduplication") == "1")
        guard case .redis(let server) = harness.place else { return }
        #expect(try server.cli("EXISTS", "queue:deduplication") == "0")
    }

    @Test func aLayerOnRabbitMQ() async throws {
        let harness = try await PipelineHarness(.redis, statements: 200)
        defer { harness.remove() }
        let other = try PrivateRabbitMQ()
        let folder = try TestFolder()
        let summary = try await run(
            ["--backend", harness.place.url, "--layer", "analysis=\(other.url)", "--input", harness.input.path],
            environment: ["MQ_SQLITE_URL": "sqlite://\(folder.path)/mq.sqlite"]
        )
        #expect(summary.collected == 200 && summary.unique + summary.duplicates == 200)
        #expect(try await harness.result() == harness.expected)
    }

    @Test func aPlainXADDFlowsThrough() async throws {
        let server = try PrivateRedis()
        for number in 1...3 {
            try server.cli(
                "XADD",
                "queue:analysis",
                "*",
                "payload",
                #"{"id":"x\#(number)","text":"Inflation fell to \#(number).5 percent, said the bank."}"#
            )
        }
        try server.cli("XADD", "queue:analysis", "*", "payload", "this is no statement")
        let summary = try await run(["--backend", server.url])
        #expect(summary.unique == 3 && summary.dead == 1)
        // Any other client can read the dead letter.
        let fields = try server.cli("XRANGE", "queue:analysis:dlq", "-", "+").split(separator: "\n").map(String.init)
        for name in ["payload", "original_message_id", "error", "failed_at", "retry_count"] {
            #expect(fields.contains(name))
        }
        #expect(fields.contains("this is no statement"))
    }

    @Test func statementsFromStdinAreCollected() async throws {
        let input = """
            {"id":"1","text":"The bank raised rates by 0.25 percent.","created_at":"2026-01-01T00:00:00Z"}
            {"id":"2","text":"  "}
            {"id":"3","text":"Exports grew 4% in May."}
            """
        let summary = try await run(["--backend", "memory", "--input", "-"], input: input)
        #expect(summary.collected == 2 && summary.unique == 2)
    }
}

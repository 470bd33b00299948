import BrokerSupport
import Foundation
import Messaging
import MessagingBenchmark
import TestSupport
import Testing

/// `mq bench` beside the client library alone on live brokers: that it runs and cleans up, never how fast.
@Suite(
    "mq bench on brokers",
    .enabled(if: PrivateRedis.isInstalled, "redis-server is not installed; make test installs it"),
    .serialized,
    .timeLimit(.minutes(3))
)
struct BenchTests {
    @Test("measures beside the client library and leaves no queue", arguments: [Place.Kind.redis, .rabbitmq])
    func baseline(kind: Place.Kind) async throws {
        let place = try kind.make()
        let outcome = try await MQProcess.run(
            [
                "bench", "--backend", place.url, "--baseline", "--json", "--messages", "100", "--batch", "10", "--size",
                "64", "--rate", "200", "--window", "100ms",
            ],
            environment: place.environment,
            atMost: 120
        )
        #expect(outcome.status == 0, "\(outcome.errors)")
        let report = try JSONDecoder().decode(BenchmarkReport.self, from: Data(outcome.output.utf8))
        #expect(report.system == kind.rawValue)
        #expect(report.baseline?.contains("redis ") == true || report.baseline?.contains("rabbitmq ") == true)
        #expect(report.workloads.map(\.name) == ["publish", "consume", "worker", "end-to-end"])
        for result in report.workloads.prefix(2) {
            #expect(result.plainRate?.count == 5 && result.ratio?.count == 5)
            #expect((result.ratio?.min ?? 0) > 0)
        }
        #expect(report.latency?.intended.count == 20 && report.latency?.plain?.count == 20)
        let (queue, _) = try place.open()
        #expect(try await queue.queues().isEmpty)
        await queue.close()
        switch place {
        case .redis(let server):
            // What the plain client has made is gone as well. The mark of a deleted queue goes by itself.
            for key in try server.cli("KEYS", "*bench-*").split(separator: "\n").map(String.init) {
                #expect(try Int(server.cli("TTL", key)) ?? -1 > 0, "\(key) stays for ever")
                #expect(key.hasSuffix("}:meta"))
            }
        case .rabbitmq(let server, _):
            let names = try server.ctl(["list_queues", "name"])
            #expect(!"\(names)".contains("bench-"), "\(names)")
        case .sqlite, .kafka, .kafkaCluster: break
        }
    }
}

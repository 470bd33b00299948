import BrokerSupport
import Foundation
import Messaging
import MessagingKafka
import TestSupport
import Testing

/// Programs that know nothing of this library publish to its queues and read from them.
@Suite(
    "Kafka messages of other clients",
    .enabled(if: PrivateKafka.isInstalled, "\(PrivateKafka.unwanted)"),
    .serialized,
    .timeLimit(.minutes(3))
)
struct KafkaExchangeTests {
    private func stage() async throws -> (PrivateKafka, KafkaQueue) {
        let server = try PrivateKafka()
        let queue = KafkaQueue(try KafkaConfiguration(url: server.url + "&partitions=1"), logger: silent)
        try await queue.declare(QueueDefinition("queue:analysis", groups: [GroupDefinition("g")]))
        return (server, queue)
    }

    private func take(_ count: Int, _ queue: KafkaQueue) async throws -> [Delivery] {
        let consumer = try await queue.consume("queue:analysis", group: "g", consumer: "c")
        var taken: [Delivery] = []
        let deadline = ContinuousClock.now + .seconds(20)
        while taken.count < count, ContinuousClock.now < deadline {
            taken += try await consumer.receive(max: count, wait: .seconds(1))
        }
        return taken
    }

    @Test(.enabled(if: PrivateKafka.kcat != nil, "kcat is not installed; make test-kafka installs it"))
    func kcat() async throws {
        let (server, queue) = try await stage()
        let program = try #require(PrivateKafka.kcat)
        let broker = "127.0.0.1:\(server.port)"
        _ = try PrivateKafka.run(
            program,
            ["-P", "-b", broker, "-t", "queue-3Aanalysis", "-K", ":", "-H", "trace=x1"],
            input: "key-1:from kcat\n"
        )
        let message = Message(text: "from us", key: "key-2", headers: ["a": "b"], contentType: "text/plain")
        try await queue.publish(message, to: "queue:analysis")
        let taken = try await take(2, queue)
        #expect(taken.map(\.message.text) == ["from kcat", "from us"])
        #expect(taken.first?.message.key == "key-1" && taken.first?.message.headers["trace"] == "x1")
        #expect(taken.first?.message.id == "queue:analysis/0/0" && taken.first?.attempt == 1)
        let output = try PrivateKafka.run(
            program,
            ["-C", "-b", broker, "-t", "queue-3Aanalysis", "-o", "1", "-e", "-f", "%k|%s|%h\n"]
        )
        #expect(output.hasPrefix("key-2|from us|mq-id=\(message.id)"), "\(output)")
        #expect(output.contains("mq-content-type=text/plain") && output.contains("a=b"))
        await queue.close()
    }

    @Test(.enabled(if: PrivateKafka.python != nil, "confluent-kafka is not installed; make test-kafka installs it"))
    func python() async throws {
        let (server, queue) = try await stage()
        let program = try #require(PrivateKafka.python)
        let message = Message(text: "from us", key: "k", headers: ["a": "b"])
        try await queue.publish(message, to: "queue:analysis")
        let script = """
            import sys
            from confluent_kafka import Consumer, Producer
            server = sys.argv[1]
            producer = Producer({"bootstrap.servers": server})
            producer.produce("queue-3Aanalysis", b"from python", key=b"\\xff\\x01", headers={"h": b"\\x00v"})
            producer.produce("queue-3Aanalysis", None, key=b"gone")
            assert producer.flush(10) == 0
            consumer = Consumer({"bootstrap.servers": server, "group.id": "other", "auto.offset.reset": "earliest"})
            consumer.subscribe(["queue-3Aanalysis"])
            for _ in range(100):
                record = consumer.poll(0.2)
                if record is None or record.error():
                    continue
                print(record.key(), record.value(), dict(record.headers()))
                break
            consumer.close()
            """
        let output = try PrivateKafka.run(program, ["-c", script, "127.0.0.1:\(server.port)"])
        #expect(output.contains("b'k' b'from us'") && output.contains("'mq-id': b'\(message.id)'"), "\(output)")
        let taken = try await take(3, queue)
        #expect(taken.map(\.message.text) == ["from us", "from python", ""])
        #expect(taken.dropFirst().first?.message.key == "hex:ff01")
        #expect(taken.dropFirst().first?.message.headers.bytes("h") == [0, UInt8(ascii: "v")])
        #expect(taken.last?.message.headers["mq-tombstone"] == "1", "a tombstone is delivered as such")
        await queue.close()
    }
}

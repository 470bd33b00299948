import BrokerSupport
import Foundation
import Messaging
import MessagingRabbitMQ
import TestSupport
import Testing

/// What only a live broker shows.
@Suite(
    "RabbitMQ, live",
    .enabled(if: PrivateRabbitMQ.isInstalled, "rabbitmq-server is not installed; make test installs it"),
    .serialized,
    .timeLimit(.minutes(5))
)
struct RabbitMQLiveTests {
    @Test func aClosedClientLeavesNothingBehind() async throws {
        let server = try PrivateRabbitMQ()
        func count(_ what: String...) throws -> Int {
            try server.ctl(what + ["--no-table-headers"]).split(separator: "\n").count
        }
        let queue = try makeQueue(server.url)
        let definition = definition()
        try await queue.declare(definition)
        let before = try server.ctl(["list_queues", "name"])
        #expect(before.contains("mq.\(definition.name)@g"))
        #expect(
            try await queue.publish([Message(text: "a"), Message(text: "b")], to: definition.name).allSatisfy(
                \.isConfirmed
            )
        )
        let consumer = try await queue.consume(definition.name, group: "g", consumer: "c")
        let taken = try await consumer.take(2)
        try await consumer.acknowledge(taken[0])
        _ = try await queue.deadLetters(of: definition.name, matching: .all, after: nil, limit: 10)
        #expect(try count("list_connections", "name") == 3, "publishing, administration and the consumer have one each")
        #expect(try count("list_channels", "pid") == 3)
        await queue.close()
        #expect(try await eventually(within: .seconds(20)) { try count("list_connections", "name") == 0 })
        #expect(try count("list_channels", "pid") == 0)
        #expect(try count("list_consumers", "consumer_tag") == 0)
        #expect(try server.ctl(["list_queues", "name"]) == before)
    }

    @Test func roundsLeakNothing() async throws {
        let child = try MQProcess(
            ["rounds", try SharedRabbitMQ.url(), "200"],
            program: MQProcess.built("queue-child")
        )
        let outcome = await child.wait(atMost: 120)
        #expect(outcome.status == 0, "\(outcome.errors)")
        struct Held: Decodable {
            var round, resident_kb, threads, files: Int
        }
        let held = try outcome.output.split(separator: "\n").map {
            try JSONDecoder().decode(Held.self, from: Data($0.utf8))
        }
        try #require(held.count == 2)
        print("after \(held[0].round) rounds \(held[0]), after \(held[1].round) \(held[1])")
        #expect(held[1].files <= held[0].files + 2)
        #expect(held[1].threads <= held[0].threads + 2)
        // 180 rounds that left a connection's buffers behind would be tens of megabytes.
        #expect(held[1].resident_kb <= held[0].resident_kb + 8 << 10)
    }

    @Test func delaysComeInTheirOrder() async throws {
        let queue = try makeQueue(try SharedRabbitMQ.url())
        let definition = definition()
        try await queue.declare(definition)
        let consumer = try await queue.consume(definition.name, group: "g", consumer: "c")
        let start = ContinuousClock.now
        for delay in [3, 1, 2] {
            try await queue.publish(Message(text: "\(delay)", due: .after(.seconds(delay))), to: definition.name)
        }
        for delay in 1...3 {
            let delivery = try #require(try await consumer.take(1).first)
            let passed = ContinuousClock.now - start
            #expect(delivery.message.text == "\(delay)")
            #expect(passed >= .seconds(delay) - .milliseconds(5), "\(delay) s came after \(passed)")
            try await consumer.acknowledge(delivery)
        }
        await queue.close()
    }

    @Test func aForeignMessageWithArraysAndWithoutAnIDIsAMessage() async throws {
        let url = try SharedRabbitMQ.url()
        let queue = try makeQueue(url)
        let definition = definition(maxAttempts: 2)
        try await queue.declare(definition)
        let routed = try await Management(url).publish(
            Array("raw".utf8),
            to: "mq.\(definition.name)@g",
            properties: ["headers": ["list": [1, 2], "text": "x"] as [String: any Sendable]]
        )
        #expect(routed)
        let consumer = try await queue.consume(definition.name, group: "g", consumer: "c")
        let first = try #require(try await consumer.take(1).first)
        #expect(first.message.text == "raw" && first.message.headers["list"] == "[1,2]")
        try await consumer.settle(first, .retry(after: .milliseconds(200), error: "no"))
        let again = try #require(try await consumer.take(1).first)
        #expect(again.message == first.message && again.attempt == 2)
        try await consumer.settle(again, .retry(after: .zero, error: "no"))
        let letters = try await queue.deadLetters(of: definition.name, matching: .all, after: nil, limit: 10)
        #expect(letters.elements.map(\.message.id) == [first.message.id])
        await queue.close()
    }

    @Test func wrongCredentialsAndHostsAreToldWithoutThePassword() async throws {
        let url = try SharedRabbitMQ.url()
        let port = try RabbitMQConfiguration(url: url).port
        for (wrong, code) in [
            ("amqp://guest:geheim@127.0.0.1:\(port)", QueueError.Code.authentication),
            ("amqp://guest:guest@127.0.0.1:\(port)/geheim", .permissionDenied),
            ("amqp://guest:geheim@127.0.0.1:1", .unavailable),
        ] {
            let queue = try makeQueue(wrong)
            let error = await #expect(throws: QueueError.self) { try await queue.queues() }
            #expect(error?.code == code, "\(wrong): \(String(describing: error))")
            #expect(code == .permissionDenied || error?.message.contains("geheim") == false)
            await queue.close()
        }
    }

    @Test func aGroupsQueueThatIsGoneIsTold() async throws {
        let server = try PrivateRabbitMQ()
        let queue = try makeQueue(server.url)
        let definition = definition()
        try await queue.declare(definition)
        try server.ctl(["delete_queue", "mq.\(definition.name)@g"])
        let outcome = try await queue.publish([Message(text: "x")], to: definition.name).first
        #expect(outcome?.error?.code == .topologyLost, "mandatory: what no queue takes is not confirmed")
        let consumer = try await queue.consume(definition.name, group: "g", consumer: "c")
        let error = await #expect(throws: QueueError.self) { try await consumer.receive(max: 1, wait: .seconds(2)) }
        #expect(error?.code == .topologyLost)
        try await queue.declare(definition)
        try await queue.publish(Message(text: "x"), to: definition.name)
        #expect(try await consumer.take(1).count == 1)
        await queue.close()
    }

    @Test func anotherClientExchangesMessagesWithOurs() async throws {
        let python = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
            .deletingLastPathComponent().appending(path: ".build/pika/bin/python")
        guard FileManager.default.isExecutableFile(atPath: python.path) else {
            try Test.cancel("pika is not installed; Integration/install rabbitmq brings it")
        }
        let url = try SharedRabbitMQ.url()
        let queue = try makeQueue(url)
        let definition = definition("pika")
        try await queue.declare(definition)
        let source = "mq.\(definition.name)@g"
        let script = """
            import json, pika, sys
            connection = pika.BlockingConnection(pika.ConnectionParameters('127.0.0.1', int(sys.argv[1])))
            channel = connection.channel()
            channel.confirm_delivery()
            if sys.argv[3] == 'publish':
                for number in range(20):
                    channel.basic_publish('', sys.argv[2], b'from pika %d' % number, pika.BasicProperties(
                        message_id='p%d' % number, content_type='text/plain', delivery_mode=2,
                        headers={'number': number, 'text': 'x', 'list': [1, 'a']}), mandatory=True)
            else:
                found = []
                for method, properties, body in channel.consume(sys.argv[2], inactivity_timeout=10):
                    if method is None:
                        break
                    found.append([properties.message_id, body.decode(), properties.headers.get('text'),
                                  properties.content_type, properties.delivery_mode])
                    channel.basic_ack(method.delivery_tag)
                    if len(found) == 20:
                        break
                print(json.dumps(found))
            connection.close()
            """
        let port = String(try RabbitMQConfiguration(url: url).port)
        let published = try MQProcess(["-c", script, port, source, "publish"], program: python)
        let outcome = await published.wait(atMost: 30)
        #expect(outcome.status == 0, "\(outcome.errors)")
        let consumer = try await queue.consume(definition.name, group: "g", consumer: "c")
        let taken = try await consumer.take(20)
        #expect(taken.map(\.message.id.rawValue) == (0..<20).map { "p\($0)" })
        #expect(taken.map(\.message.text) == (0..<20).map { "from pika \($0)" })
        #expect(taken.first?.message.headers["number"] == "0" && taken.first?.message.headers["list"] == #"[1,"a"]"#)
        try await consumer.acknowledge(all: taken)
        await consumer.close()
        let messages = (0..<20).map {
            Message(text: "from us \($0)", id: MessageID("u\($0)"), headers: ["text": "é"], contentType: "text/plain")
        }
        #expect(try await queue.publish(messages, to: definition.name).allSatisfy(\.isConfirmed))
        let reader = try MQProcess(["-c", script, port, source, "consume"], program: python)
        let read = await reader.wait(atMost: 30)
        #expect(read.status == 0, "\(read.errors)")
        let rows = try JSONSerialization.jsonObject(with: Data(read.output.utf8)) as? [[Any]] ?? []
        #expect(rows.map { $0[0] as? String } == (0..<20).map { "u\($0)" })
        #expect(rows.map { $0[1] as? String } == (0..<20).map { "from us \($0)" })
        #expect(rows.allSatisfy { $0[2] as? String == "é" && $0[3] as? String == "text/plain" && $0[4] as? Int == 2 })
        await queue.close()
    }
}

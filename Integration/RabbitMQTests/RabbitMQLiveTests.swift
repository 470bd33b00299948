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
        // Connections that are being closed, and the runtime's own threads, come and go; 180 rounds that left something
        // behind would have left 180 of it.
        #expect(held[1].files <= held[0].files + 30)
        #expect(held[1].threads <= held[0].threads + 30)
        // 180 rounds that left a connection's buffers behind would be tens of megabytes.
        #expect(held[1].resident_kb <= held[0].resident_kb + 8 << 10)
    }

    @Test func delaysComeInTheirOrder() async throws {
        let queue = try makeQueue(try SharedRabbitMQ.url())
        let definition = definition()
        try await queue.declare(definition)
        let consumer = try await queue.consume(definition.name, group: "g", consumer: "c")
        let start = ContinuousClock.now
        // From one time on: a pause between two of them would turn their order round.
        let date = Date()
        for delay in [3, 1, 2] {
            let due = Message.Due.at(date.addingTimeInterval(Double(delay)))
            try await queue.publish(Message(text: "\(delay)", due: due), to: definition.name)
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

    @Test func aDeletedQueueLeavesNothingBehindAndHoldsNobodyUp() async throws {
        let server = try PrivateRabbitMQ()
        let (queue, other) = (try makeQueue(server.url), try makeQueue(server.url))
        let (deleted, kept) = (definition("deleted"), definition("kept"))
        try await queue.declare(kept)
        let before = try server.ctl(["list_queues", "name"])
        let exchanges = try server.ctl(["list_exchanges", "name"])
        try await queue.declare(deleted)
        // More than a level hands over at once: without a destination they would keep all others from theirs.
        let delayed = (0..<100).map { Message(text: "\($0)", due: .after(.milliseconds(1500))) }
        #expect(try await queue.publish(delayed, to: deleted.name).allSatisfy(\.isConfirmed))
        try await queue.publish(Message(text: "held"), to: deleted.name)
        let consumer = try await queue.consume(deleted.name, group: "g", consumer: "c")
        let held = try #require(try await consumer.take(1).first)
        #expect(try await other.deleteQueue(deleted.name))
        #expect(try await !other.deleteQueue(deleted.name))
        #expect(try server.ctl(["list_queues", "name"]) == before)
        #expect(try server.ctl(["list_exchanges", "name"]) == exchanges)
        #expect(try await queue.queues() == [kept.name])
        await #expect(throws: QueueError.self) { try await consumer.acknowledge(held) }
        // The client that did not delete it has it in mind, and the exchange is missing: the channel is lost with it.
        for _ in 0..<2 {
            let error = await #expect(throws: QueueError.self) {
                try await queue.publish(Message(text: "x"), to: deleted.name)
            }
            #expect(error?.code == .notFound)
        }
        let gone = await #expect(throws: QueueError.self) { try await queue.statistics(of: deleted.name) }
        #expect(gone?.code == .notFound)
        let reader = try await queue.consume(kept.name, group: "g", consumer: "c")
        try await Task.sleep(for: .seconds(2))
        let start = ContinuousClock.now
        try await queue.publish(Message(text: "late", due: .after(.milliseconds(1500))), to: kept.name)
        let late = try #require(try await reader.take(1).first)
        #expect(late.message.text == "late" && ContinuousClock.now - start < .seconds(10))
        #expect(
            try await eventually(within: .seconds(20)) {
                try server.ctl(["list_queues", "messages", "--no-table-headers"]).split(separator: "\n")
                    .reduce(0) { $0 + (Int($1.trimmingCharacters(in: .whitespaces)) ?? 0) } == 2
            },
            "what is left are the record of a queue and a message that is held"
        )
        await queue.close()
        await other.close()
    }

    @Test func whatIsHeldTooLongComesBackAloneBeforeTheBrokerTakesEverything() async throws {
        // The broker's time is longer than what the client is told: there is room for a machine that stands still.
        let server = try PrivateRabbitMQ(["consumer_timeout = 14000"])
        // It looks once a minute otherwise.
        try server.ctl(["eval", "application:set_env(rabbit, channel_tick_interval, 1000)."])
        let queue = try makeQueue(server.url) { $0.consumerTimeout = .seconds(12) }
        let definition = definition(lease: .seconds(8))
        try await queue.declare(definition)
        try await queue.publish(Message(text: "long"), to: definition.name)
        let consumer = try await queue.consume(definition.name, group: "g", consumer: "c")
        let long = try #require(try await consumer.take(1).first)
        let start = ContinuousClock.now
        var other: Delivery?
        while try await consumer.renew([long.receipt]) == [true] {
            try #require(ContinuousClock.now - start < .seconds(40), "renewing never ended")
            if other == nil, ContinuousClock.now - start > .seconds(7) {
                try await queue.publish(Message(text: "short"), to: definition.name)
                other = try await consumer.take(1).first
            }
            try await Task.sleep(for: .milliseconds(200))
        }
        // Nine tenths of the time are over; the other delivery is not touched when all of it is.
        #expect(ContinuousClock.now - start < .seconds(14))
        let short = try #require(other)
        #expect(try await consumer.renew([short.receipt]) == [true])
        // The broker has looked once more after its time.
        try await Task.sleep(until: start + .milliseconds(15_200), clock: .continuous)
        #expect(short.message.text == "short")
        try await consumer.acknowledge(short)
        let again = try #require(try await consumer.take(1).first)
        #expect(again.message.text == "long" && again.attempt == 2)
        try await consumer.acknowledge(again)
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

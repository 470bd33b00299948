#if RabbitMQ
import Messaging
import Testing

@testable import MessagingRabbitMQ

@Suite("Messages travel as AMQP has them and come back the same")
struct WireFormatTests {
    private func roundTrip(_ outgoing: OutgoingMessage, brokers: AMQPTable = []) -> WireMessage {
        var properties = outgoing.properties
        // As a quorum queue does it.
        properties.headers = (properties.headers + brokers).sorted {
            $0.name.utf8.lexicographicallyPrecedes($1.name.utf8)
        }
        return WireFormat.read(
            IncomingMessage(tag: 1, isAnswer: false, properties: properties, body: outgoing.body)
        )
    }

    @Test func everyPart() {
        let message = Message(
            body: [0, 255],
            id: MessageID(String(repeating: "é", count: 256)),
            key: "k",
            headers: ["z": "1", "CC": "2", "a": "3", "x-request-id": "4", "x-death": "5"],
            contentType: "text/plain"
        )
        let copy = Copies.publication(message, queue: "orders", lanes: 0, now: 5000)
        #expect(copy.exchange == "mq.orders" && copy.properties.timestamp == 5)
        #expect(copy.properties.headers.value("CC") == nil, "the broker would take it for addresses")
        let wire = roundTrip(copy)
        #expect(wire.message == message)
        #expect(wire.attempt == 1 && wire.history.isEmpty && wire.problem == nil)
    }

    @Test func brokersOwnHeadersCountAndGoNowhere() {
        let copy = Copies.publication(Message(text: "x"), queue: "orders", lanes: 0, now: 0)
        let death = AMQPHeader("x-death", .array([.table([AMQPHeader("reason", .text("expired"))])]))
        let wire = roundTrip(copy, brokers: [AMQPHeader("x-delivery-count", .number(2)), death])
        #expect(wire.attempt == 3 && wire.message.headers.isEmpty && wire.reason == nil)
        let again = Copies.release(wire, attempt: wire.attempt, queue: "orders", group: "g")
        #expect(again.properties.headers == [AMQPHeader("mq-attempts", .number(2))])
        #expect(roundTrip(again).attempt == 3)
    }

    @Test func foreignTypesAreTextForTheApplicationAndKeptInCopies() {
        let list = AMQPValue.array([.number(1, kind: UInt8(ascii: "I")), .text("a\"b"), .table([])])
        let foreign = IncomingMessage(
            tag: 1,
            isAnswer: false,
            properties: AMQPProperties(
                headers: [AMQPHeader("list", list), AMQPHeader("flag", .bool(true))],
                replyTo: "me"
            ),
            body: [1]
        )
        let wire = WireFormat.read(foreign)
        #expect(wire.message.headers["list"] == #"[1,"a\"b",{}]"#)
        #expect(wire.message.headers["flag"] == "true")
        #expect(!wire.message.id.rawValue.isEmpty)
        let copy = Copies.retry(
            wire,
            attempt: 1,
            after: .zero,
            error: "no",
            consumer: "c",
            queue: "q",
            group: "g",
            now: 7
        )
        #expect(copy.properties.headers.value("list") == list && copy.properties.replyTo == "me")
        let again = roundTrip(copy)
        #expect(again.message.id == wire.message.id && again.attempt == 2)
        #expect(again.history == [Failure(attempt: 1, at: 7, consumer: "c", error: "no")])
    }

    @Test func whatIsNoMessageSaysWhy() {
        var properties = AMQPProperties(messageID: "m")
        properties.headers = [AMQPHeader("mq-key", .bytes([0xFF]))]
        let wire = WireFormat.read(IncomingMessage(tag: 1, isAnswer: false, properties: properties, body: [2]))
        #expect(wire.problem == "the header 'mq-key' is not UTF-8")
    }

    @Test func aDeadLetterAndItsRedrive() {
        let wire = roundTrip(Copies.publication(Message(text: "x", id: "m"), queue: "q", lanes: 0, now: 0))
        let dead = Copies.dead(
            wire,
            attempts: 2,
            reason: .rejected,
            error: "no",
            consumer: "c",
            queue: "q",
            group: "g",
            now: 9
        )
        #expect(dead.routingKey == "mq.q@g@dlq" && dead.exchange.isEmpty)
        // Looking at it counts as a delivery for the broker, not for us.
        let read = roundTrip(dead, brokers: [AMQPHeader("x-delivery-count", .number(5))])
        let incoming = IncomingMessage(tag: 1, isAnswer: false, properties: dead.properties, body: dead.body)
        let letter = DeadLetterPlan.letter(incoming, read, queue: "q", group: "g")
        #expect(letter.attempts == 2 && letter.error == "no" && letter.reason == .rejected && letter.message.id == "m")
        #expect(DeadLetterPlan.group(letter.id) == "g")
        let again = roundTrip(Copies.redrive(read, queue: "q", group: "g", lanes: 0))
        #expect(again.attempt == 1 && again.redrives == 1 && again.history.count == 1 && again.reason == nil)
    }

    @Test func tooLargeHeadersAreRefusedBeforeTheyAreSent() {
        let message = Message(text: "x", headers: ["big": String(repeating: "x", count: 70_000)])
        let copy = Copies.publication(message, queue: "q", lanes: 0, now: 0)
        #expect(WireFormat.problem(copy.properties, frameMax: 131072, queue: "q")?.code == .tooLarge)
        let name = Message(text: "x", headers: [String(repeating: "n", count: 256): "v"])
        let named = Copies.publication(name, queue: "q", lanes: 0, now: 0)
        #expect(WireFormat.problem(named.properties, frameMax: 131072, queue: "q")?.code == .invalidArgument)
        let small = Copies.publication(Message(text: "x"), queue: "q", lanes: 0, now: 0)
        #expect(WireFormat.problem(small.properties, frameMax: 131072, queue: "q") == nil)
    }

    @Test func aHistoryNeverOutgrowsItsPlace() {
        var wire = WireMessage(Message(text: "x"))
        wire.history = (1...10).map {
            Failure(attempt: $0, at: 0, consumer: "c", error: String(repeating: "\u{1}", count: 1000))
        }
        let properties = WireFormat.properties(wire)
        #expect(properties.encodedSize < 20 << 10)
        let read = WireFormat.read(IncomingMessage(tag: 1, isAnswer: false, properties: properties, body: []))
        #expect(read.history.last?.attempt == 10 && !read.history.isEmpty)
    }
}

@Suite("Delays walk down levels of powers of two")
struct DelayPlanTests {
    private func units(_ key: String) -> Int {
        key.split(separator: ".", maxSplits: DelayPlan.levels).prefix(DelayPlan.levels).reduce(0) {
            $0 * 2 + ($1 == "1" ? 1 : 0)
        }
    }

    @Test(arguments: [(1, 1), (100, 1), (101, 2), (3000, 30), (3_600_000, 36_000)] as [(Int64, Int)])
    func neverShorterThanAskedFor(_ milliseconds: Int64, _ expected: Int) {
        let key = DelayPlan.key(milliseconds, to: "mq.a.b@g")
        #expect(units(key) == expected)
        #expect(key.hasSuffix(".mq.a.b@g") && key.utf8.count == 2 * DelayPlan.levels + 8)
        #expect(DelayPlan.binding("mq.a.b@g").hasSuffix("*.mq.a.b@g"))
    }

    @Test func longOnesWalkAgain() {
        #expect(DelayPlan.split(DelayPlan.longest) == (DelayPlan.longest, 0))
        #expect(DelayPlan.split(DelayPlan.longest + 5) == (DelayPlan.longest, 5))
        let message = Message(text: "x", due: .after(.seconds(400 * 86400)))
        let copy = Copies.publication(message, queue: "q", lanes: 0, now: 0)
        #expect(copy.properties.headers.value("mq-delay-left")?.integer == 400 * 86_400_000 - DelayPlan.longest)
    }

    @Test func whatIsDueGoesStraight() {
        let past = Message(text: "x", due: .at(UnixTime.date(1000)))
        #expect(Copies.publication(past, queue: "q", lanes: 0, now: 2000).exchange == "mq.q")
        let soon = Copies.publication(past, queue: "q", lanes: 0, now: 0)
        #expect(soon.exchange == RabbitNames.later("q") && units(soon.routingKey) == 10)
    }

    @Test func everyLevelLeadsToTheNextLowerOne() {
        let topology = DelayPlan.topology()
        #expect(topology.count == 4 + 4 * DelayPlan.levels)
        // What has no destination any more must not wait in a level.
        let alternate = [AMQPHeader("alternate-exchange", .text(DelayPlan.lost))]
        #expect(topology.contains(.exchangeDeclare(DelayPlan.out, type: "topic", arguments: alternate)))
        #expect(topology.contains(.queueBind(DelayPlan.name(27), exchange: DelayPlan.name(27), key: "1.#")))
        #expect(topology.contains(.exchangeBind(DelayPlan.name(25), source: DelayPlan.name(26), key: "*.0.#")))
        #expect(
            topology.contains(
                .exchangeBind(DelayPlan.out, source: DelayPlan.name(0), key: String(repeating: "*.", count: 27) + "0.#")
            )
        )
    }
}

@Suite("Headers keep their order")
struct HeaderOrderTests {
    @Test func sortedOnesNeedNothing() {
        #expect(
            HeaderOrder.indices([]) == nil && HeaderOrder.indices(["b"]) == nil
                && HeaderOrder.indices(["A", "a"]) == nil
        )
    }

    @Test(arguments: 0..<20 as Range<UInt64>)
    func othersComeBack(_ seed: UInt64) {
        var generator = SeededGenerator(seed: seed)
        let names = ["b", "a", "Z", "é", "mq-h-CC", "traceparent"].shuffled(using: &generator)
        let order = HeaderOrder.indices(names)
        let sorted = names.sorted { $0.utf8.lexicographicallyPrecedes($1.utf8) }
        let headers = sorted.map { ($0, MessageHeaders.Header(name: $0, value: [])) }
        #expect(HeaderOrder.restored(headers, order).map(\.name) == names)
    }

    @Test(arguments: ["0", "0,0", "7,1", "x,y", ""])
    func nonsenseChangesNothing(_ order: String) {
        let headers = ["a", "b"].map { ($0, MessageHeaders.Header(name: $0, value: [])) }
        #expect(HeaderOrder.restored(headers, order).map(\.name) == ["a", "b"])
    }
}

@Suite("Names on the broker")
struct RabbitNamesTests {
    @Test func differentOnesNeverMeet() {
        let long = String(repeating: "a", count: 200)
        let names = [
            RabbitNames.exchange("a"), RabbitNames.group("a", "b"), RabbitNames.dead("a", "b"),
            RabbitNames.group("a", "b.dlq"), RabbitNames.group("a.b", "c"), RabbitNames.group("a", "b.c"),
            RabbitNames.group(long, long), RabbitNames.dead(long, long), RabbitNames.exchange(long),
            RabbitNames.group(long, String(long.dropLast()) + "b"), RabbitNames.registry, DelayPlan.out, DelayPlan.top,
        ]
        #expect(Set(names).count == names.count)
        for name in names { #expect(name.utf8.count + 2 * DelayPlan.levels <= 255) }
    }

    @Test func shortOnesCanBeRead() {
        #expect(RabbitNames.group("queue:analysis", "analysis-workers") == "mq.queue:analysis@analysis-workers")
    }
}
#endif

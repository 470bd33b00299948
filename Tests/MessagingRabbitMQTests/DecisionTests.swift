#if RabbitMQ
import Messaging
import Testing

@testable import MessagingRabbitMQ

@Suite("URLs of RabbitMQ")
struct ConfigurationTests {
    @Test func everyPart() throws {
        let configuration = try RabbitMQConfiguration(
            url: "amqp://us%40er:p%2Fss@host:1234/%2ftest?heartbeat=5&command_timeout=0.5&max_body=100"
                + "&consumer_timeout=100&management=http://host:15000/"
        )
        #expect(configuration.username == "us@er" && configuration.password == "p/ss")
        #expect(configuration.host == "host" && configuration.port == 1234 && configuration.virtualHost == "/test")
        #expect(configuration.heartbeat == .seconds(5) && configuration.commandTimeout == .milliseconds(500))
        #expect(configuration.longestHold == .seconds(90))
        #expect(configuration.maxBodyBytes == 100 && configuration.management == "http://host:15000")
        #expect(configuration.description == "amqp://host:1234/%2ftest")
    }

    @Test(arguments: ["amqp://", "amqp://localhost", "amqp://localhost/", "amqp://localhost/%2f", "AMQP://[::1]"])
    func defaults(_ url: String) throws {
        let configuration = try RabbitMQConfiguration(url: url)
        #expect(configuration.port == 5672 && configuration.virtualHost == "/" && configuration.username == "guest")
    }

    @Test func theManagementPluginIsLookedForOnlyBesideTheStandardPort() throws {
        #expect(try RabbitMQConfiguration(url: "amqp://h").managementURL == "http://h:15672")
        #expect(try RabbitMQConfiguration(url: "amqps://h").managementURL == "https://h:15671")
        #expect(try RabbitMQConfiguration(url: "amqp://h:5673").managementURL == nil)
    }

    @Test(arguments: [
        "redis://x", "amqp", "amqp://h:0", "amqp://h:x", "amqp://h/a/b", "amqp://h?nonsense=1", "amqp://h?heartbeat=0",
        "amqp://u:geheim%zz@h", "amqp://h?tls_ca=/x", "amqps://127.0.0.1", "amqps://h?tls_cert=/x",
        "amqp://geheim@h?management=http://u:p@h", "amqp://h?max_body=999999999", "amqp://geheim:geheim%00@h",
    ])
    func brokenOnesAreRefusedWithoutCredentials(_ url: String) {
        let error = #expect(throws: QueueError.self) { try RabbitMQConfiguration(url: url) }
        #expect(error?.code == .invalidArgument)
        #expect(error?.message.contains("geheim") == false)
    }
}

@Suite("Declaring")
struct DeclarePlanTests {
    private let wanted = QueueDefinition("q", groups: [GroupDefinition("a")])

    @Test func whatCannotBeHadIsRefusedWithTheReason() {
        var keyed = wanted
        keyed.ordering = .keyed
        var kept = wanted
        kept.retention = .seconds(1)
        var bounded = wanted
        bounded.maxReady = 1
        var long = wanted
        long.groups[0].lease = .seconds(1621)
        func refusal(_ definition: QueueDefinition) -> QueueError? {
            DeclarePlan.unsupported(definition, longestHold: RabbitMQConfiguration().longestHold)
        }
        for definition in [kept, bounded, long] { #expect(refusal(definition)?.code == .unsupported) }
        long.groups[0].lease = .seconds(1620)
        for definition in [wanted, keyed, long] { #expect(refusal(definition) == nil) }
    }

    @Test func conflictsNameBothValues() {
        var other = wanted
        other.groups[0].lease = .seconds(7)
        let record = QueueRecord(wanted, lanes: 0, revision: 1)
        let error = DeclarePlan.conflict(record, other, lanes: 0)
        #expect(error?.code == .topologyConflict)
        #expect(error?.message.contains("30") == true && error?.message.contains("7") == true)
        #expect(DeclarePlan.conflict(record, wanted, lanes: 0) == nil)
        var keyed = wanted
        keyed.ordering = .keyed
        let ordered = DeclarePlan.conflict(record, keyed, lanes: 8)
        #expect(ordered?.message.contains("unordered") == true && ordered?.message.contains("keyed") == true)
        let lanes = QueueRecord(keyed, lanes: 8, revision: 1)
        #expect(DeclarePlan.conflict(lanes, keyed, lanes: 8) == nil)
        let moved = DeclarePlan.conflict(lanes, keyed, lanes: 4)
        #expect(moved?.code == .topologyConflict && moved?.message.contains("8 lanes, not 4") == true)
    }

    @Test func aLateGroupGetsNoPastSilently() {
        var more = wanted
        more.groups.append(GroupDefinition("late"))
        #expect(DeclarePlan.missedHistory(wanted, more, ready: ["a": 1])?.code == .unsupported)
        #expect(DeclarePlan.missedHistory(wanted, more, ready: ["a": 0]) == nil)
        #expect(DeclarePlan.missedHistory(nil, more, ready: [:]) == nil)
        more.groups[1].start = .latest
        #expect(DeclarePlan.missedHistory(wanted, more, ready: ["a": 1]) == nil)
        #expect(DeclarePlan.merged(wanted, more).groups.map(\.name) == ["a", "late"])
    }

    @Test func recordsComeBack() throws {
        let definition = QueueDefinition(
            "q",
            groups: [GroupDefinition("a", lease: .milliseconds(250), maxAttempts: 3)],
            dedupeWindow: .seconds(11)
        )
        let record = QueueRecord(definition, lanes: 0, revision: 3)
        let read = try QueueRecord.read(record.message().body)
        #expect(read == record && read.definition == definition && read.format == 1 && read.lanes == nil)
        var keyed = definition
        keyed.ordering = .keyed
        let lanes = try QueueRecord.read(QueueRecord(keyed, lanes: 5, revision: 1).message().body)
        #expect(lanes.definition == keyed && lanes.lanes == 5)
        #expect(lanes.format == 2, "who knows no lanes must not take it for an unordered queue")
    }

    @Test func newerAndForeignRecordsAreNotTakenForOurs() {
        let newer = #expect(throws: QueueError.self) { try QueueRecord.read(Array(#"{"format":3,"queue":"q"}"#.utf8)) }
        #expect(newer?.code == .topologyConflict && newer?.queue == "q")
        let foreign = #expect(throws: QueueError.self) { try QueueRecord.read([1, 2]) }
        #expect(foreign?.code == .undecodable && foreign?.queue == nil)
    }
}

@Suite("Pages of dead letters")
struct DeadLetterPageTests {
    private func letter(_ id: Int) -> DeadLetter {
        DeadLetter(
            id: "\(id)",
            message: Message(text: "\(id)"),
            queue: "q",
            group: "g",
            reason: .rejected,
            error: nil,
            attempts: 1,
            failedAt: nil,
            publishedAt: nil,
            history: []
        )
    }

    @Test(arguments: [1, 2, 3, 7, 20, 1000])
    func everyOneOnceInOrderWhateverTheOrderOnTheBroker(_ limit: Int) {
        var generator = SeededGenerator(seed: 5)
        var seen: [String] = []
        var cursor: DeadLetterPlan.Position?
        var pages = 0
        repeat {
            var builder = DeadLetterPlan.PageBuilder(after: cursor, limit: limit)
            for id in (0..<20).shuffled(using: &generator) {
                // Two at the same time each; every third one is not meant.
                let position = DeadLetterPlan.Position(time: Int64(id / 2), id: "\(100 + id)")
                builder.add(position, id % 3 == 0 ? nil : letter(id))
            }
            let page = builder.page()
            #expect(page.elements.count <= limit)
            seen += page.elements.map(\.id)
            cursor = page.next.flatMap { DeadLetterPlan.Position($0) }
            pages += 1
        } while cursor != nil && pages < 50
        #expect(seen == (0..<20).filter { $0 % 3 != 0 }.map(String.init))
    }

    @Test(arguments: ["", "x", "1", "|a", "x|a"])
    func otherCursorsAreNone(_ cursor: String) { #expect(DeadLetterPlan.Position(cursor) == nil) }
}

@Suite("What the broker can do")
struct ProbeTests {
    @Test func oldVersionsAreRefused() {
        for version in ["3.9.13", "2.8.0"] { #expect(RabbitProbe.problem(version) != nil) }
        for version in ["3.10.8", "3.13.0", "4.1.2", "unknown"] { #expect(RabbitProbe.problem(version) == nil) }
    }

    @Test func theBodyLimitFollowsTheVersion() {
        func limit(_ version: String, _ wanted: Int) -> Int {
            RabbitProbe.capabilities(product: "RabbitMQ", version: version, maxBodyBytes: wanted).maxBodyBytes
        }
        #expect(limit("3.10.8", 100 << 20) == 100 << 20)
        #expect(limit("4.0.1", 100 << 20) == 16 << 20)
        #expect(limit("4.0.1", 1000) == 1000)
    }

    @Test func errorsSayWhatTheyMean() {
        #expect(AMQPErrors.channel(404, "NOT_FOUND - no queue", queue: "q").code == .topologyLost)
        #expect(AMQPErrors.channel(403, "ACCESS_REFUSED", queue: "q").code == .permissionDenied)
        #expect(AMQPErrors.channel(406, "PRECONDITION_FAILED - inequivalent arg", queue: "q").code == .topologyConflict)
        let timeout = AMQPErrors.channel(
            406,
            "PRECONDITION_FAILED - delivery acknowledgement on channel 1 timed out",
            queue: "q"
        )
        #expect(timeout.code == .unavailable && timeout.isRetryable)
        #expect(AMQPErrors.closed(403, "ACCESS_REFUSED", "h:1").code == .authentication)
        #expect(AMQPErrors.closed(320, "CONNECTION_FORCED", "h:1").isRetryable)
        #expect(!AMQPErrors.connect(AMQPErrors.Fault(kind: .tls, text: "x"), "h:1").isRetryable)
    }
}
#endif

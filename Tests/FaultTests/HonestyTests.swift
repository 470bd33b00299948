import Messaging
import MessagingConformance
import MessagingMemory
import Testing

/// A backend that says that it has no keyed order, and refuses it, after asking the broker or at once.
private struct Refusing: QueueDecorator {
    let base: any MessageQueue
    let asksFirst: Bool

    func capabilities() async throws(QueueError) -> Capabilities {
        let known = try await base.capabilities()
        var support: [Capabilities.Feature: Capabilities.Support] = [:]
        for feature in Capabilities.Feature.allCases { support[feature] = known[feature] }
        support[.keyedOrder] = .unavailable("it is left out here")
        return Capabilities(
            system: known.system,
            version: known.version,
            durability: known.durability,
            maxBodyBytes: known.maxBodyBytes,
            support: support
        )
    }

    func declare(_ definition: QueueDefinition) async throws(QueueError) {
        if definition.ordering == .keyed {
            if asksFirst { _ = try await base.definition(of: definition.name) }
            throw QueueError(.unsupported, "there is no keyed order here", queue: definition.name)
        }
        try await base.declare(definition)
    }
}

private struct RefusingFaults: FaultControl {
    let base: InProcessFaults
    let asksFirst: Bool

    var patience: Duration { base.patience }
    func proxy() async throws -> any FaultProxy { try await base.proxy() }
    func makeQueue() async throws -> any MessageQueue {
        Refusing(base: try await base.makeQueue(), asksFirst: asksFirst)
    }
}

private struct RefusingHarness: ConformanceHarness {
    let control: RefusingFaults

    init(asksFirst: Bool) {
        let broker = MemoryQueue()
        control = RefusingFaults(base: InProcessFaults { broker.makeClient() }, asksFirst: asksFirst)
    }

    var timeUnit: Duration { .milliseconds(50) }
    var tolerance: Duration { .milliseconds(200) }
    var faults: (any FaultControl)? { control }

    func makeQueue() async throws -> any MessageQueue {
        Refusing(base: try await control.base.client(isRemote: false), asksFirst: control.asksFirst)
    }
    func uniqueName(_ prefix: String) -> String { "\(prefix)-\(MessageID.make())" }
}

@Suite("Honesty is counted on the proxy", .timeLimit(.minutes(1)))
struct HonestyTests {
    @Test("what is refused at once passes, what asks the broker first does not", arguments: [false, true])
    func counts(asksFirst: Bool) async throws {
        let law = try #require(Conformance.find("cap.honest"))
        let result = try #require(
            try await ConformanceRunner(RefusingHarness(asksFirst: asksFirst)).run([law]).results.first
        )
        #expect(result.outcome == (asksFirst ? .failed : .passed), "\(result.reason ?? "")")
        if asksFirst {
            #expect(result.reason?.contains("sent 64 bytes to the broker") == true, "\(result.reason ?? "")")
        }
    }

    @Test("without anything to break, the fault tier is not possible, with a reason")
    func notPossible() async throws {
        struct Plain: ConformanceHarness {
            let broker = MemoryQueue()
            var timeUnit: Duration { .milliseconds(50) }
            var tolerance: Duration { .milliseconds(100) }
            func makeQueue() async throws -> any MessageQueue { broker.makeClient() }
            func uniqueName(_ prefix: String) -> String { "\(prefix)-\(MessageID.make())" }
        }
        let cases = Conformance.all.filter { $0.tier == .fault }
        let report = try await ConformanceRunner(Plain()).run(cases)
        #expect(report.results.count == cases.count && cases.count >= 20)
        for result in report.results {
            #expect(result.outcome == .notPossible, "\(result.id): \(result.outcome)")
            #expect(result.reason == "the harness has no way to break anything")
        }
    }
}

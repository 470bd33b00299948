import Messaging
import MessagingMemory

extension Conformance {
    static let twins: [ConformanceCase] = [same]

    /// How many requests are made.
    private static let requests = 250
    private static let maxAttempts = 3

    private static let same = ConformanceCase(
        "fake.same",
        .figures,
        "the backend gives the answers of the in-memory queue, so tests against that one tell the truth"
    ) { harness in
        let stage = try await Stage(harness) { $0.groups[0].maxAttempts = maxAttempts }
        let capabilities = try await stage.queue.capabilities()
        guard let definition = try await stage.queue.definition(of: stage.name) else {
            throw ConformanceFailure("a declared queue has no definition")
        }
        let reference = try await Stage(ReferenceHarness(base: harness, name: stage.name)) {
            $0.groups[0].maxAttempts = maxAttempts
        }
        var real = TwinQueue(stage: stage, consumer: try await stage.consumer(), definition: definition)
        var model = TwinQueue(stage: reference, consumer: try await reference.consumer(), definition: definition)
        var script = TwinScript(seed: 2, stage: stage, capabilities: capabilities)
        for number in 0..<requests {
            let request = script.next()
            let expected = try await model.answer(request)
            let answer = try await real.answer(request)
            try expect(
                answer == expected,
                "request \(number), \(request): the answer is \(answer), the in-memory queue's is \(expected)"
            )
            follow(request, expected, model, &script)
            guard number % 10 == 9 else { continue }
            try await stage.expectFigures(
                ready: script.count(.ready),
                inFlight: script.count(.held),
                delayed: script.count(.scheduled),
                dead: script.count(.dead)
            )
        }
    }

    /// Notes where the messages are by what the in-memory queue has answered.
    private static func follow(
        _ request: TwinRequest,
        _ answer: [String],
        _ model: TwinQueue,
        _ script: inout TwinScript
    ) {
        switch request {
        case .publish(let messages):
            for (message, outcome) in zip(messages, answer) where outcome == "accepted" {
                script.note(message.id, message.due == nil ? .ready : .scheduled)
            }
        case .take:
            for line in answer { script.note(MessageID(String(line.prefix { $0 != " " })), .held) }
        case .settle(let id, let settlement):
            guard answer == ["settled"] else { return }
            switch settlement {
            case .acknowledge, .discard: script.note(id, .finished)
            case .release: script.note(id, .ready)
            case .reject: script.note(id, .dead)
            case .retry: script.note(id, (model.attempts[id] ?? 1) >= maxAttempts ? .dead : .ready)
            }
        case .redrive(let id): script.note(id, .ready)
        case .discard(let id), .cancel(let id): script.note(id, .finished)
        default: break
        }
    }
}

/// The in-memory queue under the name of the queue beside it.
private struct ReferenceHarness: ConformanceHarness {
    let base: any ConformanceHarness
    let name: String

    var timeUnit: Duration { base.timeUnit }
    var tolerance: Duration { base.tolerance }
    var now: Duration { base.now }

    func makeQueue() async throws -> any MessageQueue { MemoryQueue() }
    func uniqueName(_ prefix: String) -> String { name }
    func advance(by duration: Duration) async throws { try await base.advance(by: duration) }
}

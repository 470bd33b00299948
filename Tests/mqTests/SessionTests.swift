import ArgumentParser
import Messaging
import MessagingMemory
import Synchronization
import Testing

@testable import mq

@Suite("Consuming and changing dead letters")
struct SessionTests {
    @Test("acknowledges what was printed")
    func acknowledges() async throws {
        let (queue, member) = try await prepared(messages: 5)
        let recorder = Recorder()
        let session = ConsumeSession(
            member: member,
            output: recorder.output(),
            limit: 3,
            wait: .zero,
            acknowledges: true
        )
        #expect(try await session.run() == 0)
        #expect(recorder.standardOutput == "m0\nm1\nm2\n")
        let figures = try #require(try await queue.statistics(of: "q")["g"])
        #expect(figures.ready == .exact(2))
        #expect(figures.inFlight == .exact(0))
    }

    @Test("gives everything back that it only showed, without counting an attempt")
    func releases() async throws {
        let (queue, member) = try await prepared(messages: 3)
        let recorder = Recorder()
        let session = ConsumeSession(
            member: member,
            output: recorder.output(),
            limit: 10,
            wait: .zero,
            acknowledges: false
        )
        #expect(try await session.run() == 0)
        #expect(recorder.standardOutput == "m0\nm1\nm2\n")
        #expect(try await queue.statistics(of: "q")["g"]?.ready == .exact(3))
        #expect(try await member.receive(max: 1, wait: .zero).first?.attempt == 1)
    }

    @Test("gives back what could not be printed")
    func closedOutput() async throws {
        let (queue, member) = try await prepared(messages: 5)
        let recorder = Recorder(linesUntilClosed: 2)
        let session = ConsumeSession(
            member: member,
            output: recorder.output(),
            limit: 10,
            wait: .zero,
            acknowledges: true
        )
        await #expect(throws: ClosedOutput.self) { try await session.run() }
        #expect(recorder.standardOutput == "m0\nm1\n")
        let figures = try #require(try await queue.statistics(of: "q")["g"])
        #expect(figures.ready == .exact(3))
        #expect(figures.inFlight == .exact(0))
    }

    @Test("says what was printed when none of it could be acknowledged")
    func unacknowledged() async throws {
        let (_, member) = try await prepared(messages: 2)
        let recorder = Recorder()
        let session = ConsumeSession(
            member: UnsettlingConsumer(base: member),
            output: recorder.output(),
            limit: 10,
            wait: nil,
            acknowledges: true
        )
        #expect(try await session.run() == 2)
        #expect(recorder.standardOutput == "m0\nm1\n")
        #expect(recorder.standardError.contains("the file is locked"))
        #expect(recorder.standardError.contains("2 messages printed but not acknowledged"))
        #expect(!recorder.standardError.contains("2 messages of"))
    }

    @Test("gives back what was not printed when it is stopped")
    func stopped() async throws {
        let (queue, member) = try await prepared(messages: 5)
        let recorder = Recorder()
        let task = Task {
            let session = ConsumeSession(
                member: member,
                output: recorder.output(cancellingAfter: 2),
                limit: 10,
                wait: nil,
                acknowledges: true
            )
            return try await session.run()
        }
        #expect(try await task.value == 0)
        #expect(recorder.standardOutput == "m0\nm1\n")
        let figures = try #require(try await queue.statistics(of: "q")["g"])
        #expect(figures.ready == .exact(3))
        #expect(figures.inFlight == .exact(0))
    }

    @Test("redrives by filter with --yes")
    func redrive() async throws {
        let (queue, _) = try await prepared(messages: 4, dead: 4)
        let recorder = Recorder()
        try await change(["q", "--error", "m1", "--yes"], recorder).run(on: queue)
        let figures = try #require(try await queue.statistics(of: "q")["g"])
        #expect(figures.ready == .exact(1))
        #expect(figures.dead == .exact(3))
        #expect(recorder.standardOutput.contains(#""matched":1,"done":1,"dry_run":false"#))
    }

    @Test("changes nothing in a dry run, and without --yes when there is no terminal")
    func refused() async throws {
        let (queue, _) = try await prepared(messages: 2, dead: 2)
        let recorder = Recorder()
        try await change(["q", "--all", "--dry-run"], recorder).run(on: queue)
        #expect(recorder.standardOutput.contains(#""matched":2,"done":0,"dry_run":true"#))
        let error = await #expect(throws: CLIError.self) { try await change(["q", "--all"], recorder).run(on: queue) }
        #expect(error?.status == .needsConfirmation)
        #expect(recorder.standardError.contains("2 dead letters of 'q' to redrive"))
        #expect(try await queue.statistics(of: "q")["g"]?.dead == .exact(2))
    }

    @Test("ends partly done when an id is gone, and not found when all are")
    func gone() async throws {
        let (queue, _) = try await prepared(messages: 2, dead: 2)
        let recorder = Recorder()
        let id = try #require(
            try await queue.deadLetters(of: "q", matching: .all, after: nil, limit: 1).elements.first?.id
        )
        let partly = await #expect(throws: ExitCode.self) {
            try await change(["q", id, "999999-0"], recorder).run(on: queue)
        }
        #expect(partly?.rawValue == 3)
        let nothing = await #expect(throws: CLIError.self) { try await change(["q", id], recorder).run(on: queue) }
        #expect(nothing?.status == .notFound)
        let noMatch = await #expect(throws: CLIError.self) {
            try await change(["q", "--group", "other"], recorder).run(on: queue)
        }
        #expect(noMatch?.status == .notFound)
    }

    @Test("creates what is missing and leaves what is there")
    func ensure() async throws {
        let queue = MemoryQueue()
        #expect(try await Topology.ensure("q", groups: ["a"], on: queue) == "queue 'q', group 'a'")
        try await queue.declare(QueueDefinition("bounded", maxReady: 7))
        #expect(try await Topology.ensure("bounded", groups: ["a", "b"], on: queue) == "group 'a', group 'b'")
        #expect(try await Topology.ensure("bounded", groups: ["a"], on: queue) == nil)
        #expect(try await queue.definition(of: "bounded")?.maxReady == 7)
    }

    private func prepared(messages: Int, dead: Int = 0) async throws -> (MemoryQueue, any QueueConsumer) {
        let queue = MemoryQueue()
        try await queue.declare(QueueDefinition("q", groups: [GroupDefinition("g")]))
        _ = try await queue.publish((0..<messages).map { Message(text: "m\($0)") }, to: "q")
        let member = try await queue.consume("q", group: "g", consumer: "c")
        if dead > 0 {
            for delivery in try await member.receive(max: dead, wait: .zero) {
                let error = "failed on \(delivery.message.text ?? "")"
                try await member.settle(delivery, .reject(reason: .rejected, error: error))
            }
        }
        return (queue, member)
    }

    private func change(_ arguments: [String], _ recorder: Recorder) async throws -> DLQChange {
        let command = try await MQ.asyncParseAsRoot(["dlq", "redrive"] + arguments) as? DLQRedriveCommand
        return DLQChange(
            words: .init(verb: "redrive", past: "redriven"),
            selection: try #require(command).selection,
            output: recorder.output(isJSON: true),
            rate: nil
        ) { queue, ids, name in
            try await queue.redrive(ids, of: name)
        }
    }
}

/// A consumer whose broker takes no settlement.
private struct UnsettlingConsumer: ConsumerDecorator {
    let base: any QueueConsumer

    func settle(_ requests: [SettleRequest]) async throws(QueueError) -> [SettleOutcome] {
        throw QueueError(.unavailable, "the file is locked")
    }
}

/// Keeps what a command writes.
final class Recorder: Sendable {
    private let written = Mutex<[Int32: [UInt8]]>([:])
    private let linesUntilClosed: Int

    init(linesUntilClosed: Int = .max) { self.linesUntilClosed = linesUntilClosed }

    var standardOutput: String { text(1) }
    var standardError: String { text(2) }

    private func text(_ descriptor: Int32) -> String {
        String(decoding: written.withLock { $0[descriptor] ?? [] }, as: UTF8.self)
    }

    func output(isJSON: Bool = false, cancellingAfter lines: Int = .max) -> Output {
        Output(terminal: .none, notes: .none, isJSON: isJSON, isQuiet: false) { [self] bytes, descriptor in
            try written.withLock { written in
                let count = (written[1] ?? []).count { $0 == 0x0A }
                if descriptor == 1, count >= linesUntilClosed { throw ClosedOutput() }
                written[descriptor, default: []] += bytes
                if descriptor == 1, count + 1 == lines { withUnsafeCurrentTask { $0?.cancel() } }
            }
        }
    }
}

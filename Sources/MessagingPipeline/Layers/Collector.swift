import Messaging

/// Reads statements and publishes them to the analysis, in batches.
///
/// The id of a message is that of its statement, so collecting an input again adds nothing.
struct Collector: Sendable {
    let queue: any MessageQueue
    let clock: QueueClock
    /// How many statements are published together.
    var batch = 200
    /// How long the broker may be away before collecting fails.
    var patience: Duration = .seconds(60)
    /// Where the figures are added up.
    let board: CollectBoard
    /// Called with the report so far after each batch.
    var progress: @Sendable (CollectReport) -> Void = { _ in }

    /// Reports what collecting has come to so far.
    func tell() { progress(board.report) }

    /// The state of one run over all inputs; each piece of input is handled before the next one is read.
    private actor Run {
        var pending: [Statement] = []
        var parser: StatementParser
        let collector: Collector

        init(_ collector: Collector) {
            self.collector = collector
            parser = StatementParser(format: nil, source: nil)
        }

        func begin(_ input: CollectInput) { parser = StatementParser(format: input.format, source: input.name) }

        /// Takes a piece; an empty one means that nothing more comes for now.
        func feed(_ bytes: [UInt8]) async throws {
            take(parser.feed(bytes))
            try await publish(atLeast: bytes.isEmpty ? 1 : collector.batch)
        }

        func finish() async throws {
            take(parser.finish())
            try await publish(atLeast: 1)
        }

        /// Publishes what was read before the reading was stopped: it may come from a pipe that gives it once.
        func flush() async throws {
            let collector = collector
            // Not in the task that was cancelled.
            try await Task { try await self.publish(atLeast: 1, collector.hurried) }.value
        }

        private func take(_ results: [ReadResult]) {
            var figures = CollectReport()
            for result in results {
                switch result {
                case .statement(let statement):
                    figures.read += 1
                    pending.append(statement)
                case .malformed(let record): figures.note(record)
                }
            }
            collector.board.add(figures)
        }

        private func publish(atLeast count: Int, _ collector: Collector? = nil) async throws {
            let collector = collector ?? self.collector
            var done = 0
            // Only what was confirmed: the rest is published again, and known again where it had arrived.
            defer { pending.removeFirst(done) }
            while pending.count - done >= max(count, 1) {
                let statements = Array(pending[done...].prefix(collector.batch))
                let report = try await collector.publish(statements)
                done += statements.count
                collector.board.add(report)
                collector.tell()
            }
        }
    }

    /// How long what was read is published after the reading was stopped.
    private static let hurry: Duration = .seconds(5)

    private var hurried: Collector {
        var collector = self
        collector.patience = min(patience, Self.hurry)
        return collector
    }

    /// Reads all inputs, one after the other.
    ///
    /// - Throws: `CollectError` naming the input that cannot be read, `QueueError` when publishing fails.
    func collect(_ inputs: [CollectInput]) async throws {
        let run = Run(self)
        for input in inputs {
            try Task.checkCancellation()
            await run.begin(input)
            do {
                try await input.read { piece in try await run.feed(piece) }
                try await run.finish()
            } catch let error where Task.isCancelled {
                try await run.flush()
                throw error
            }
        }
    }

    /// Publishes statements until every one is confirmed or refused for good.
    func publish(_ statements: [Statement]) async throws -> CollectReport {
        var report = CollectReport()
        guard let name = Layer.analysis.queue, !statements.isEmpty else { return report }
        var open = try statements.map { statement in
            Message(
                body: try PipelineJSON.encode(statement),
                id: Self.messageID(statement),
                contentType: "application/json"
            )
        }
        let deadline = clock.now() + patience
        var failures = 0
        while true {
            var again: [Message] = []
            var failure: QueueError?
            do throws(QueueError) {
                for (message, outcome) in zip(open, try await queue.publish(open, to: name)) {
                    switch outcome {
                    case .accepted: report.collected += 1
                    case .duplicate: report.alreadyKnown += 1
                    case .refused(let error) where error.code == .idConflict: report.changed += 1
                    case .refused(let error) where !error.isRetryable:
                        report.note(
                            MalformedRecord(source: nil, record: 0, line: 0, reason: "\(message.id): \(error.message)")
                        )
                    case .refused(let error), .indeterminate(let error):
                        failure = error
                        again.append(message)
                    }
                }
            } catch {
                guard error.isRetryable else { throw error }
                failure = error
                again = open
            }
            guard let failure else { return report }
            failures += 1
            guard clock.now() < deadline else { throw failure }
            open = again
            let backoff = RetryPolicy(
                maxAttempts: 1,
                backoff: .exponential(base: .milliseconds(50), cap: .seconds(2), jitter: 0.5)
            )
            try await clock.sleep(for: backoff.delay(beforeRetry: failures, random: .random(in: 0...1)))
        }
    }

    static func messageID(_ statement: Statement) -> MessageID {
        let id = "statement:\(statement.id)"
        return MessageID(id.utf8.count <= 200 ? id : "statement:h-\(StableHash.hex128(statement.id.utf8))")
    }
}

/// An input that cannot be read.
public struct CollectError: Error, Sendable, CustomStringConvertible {
    /// The input and what is wrong with it, in one line.
    public let description: String

    /// Creates an error.
    ///
    /// - Parameter description: The input and what is wrong with it.
    public init(_ description: String) { self.description = description }
}

/// What collecting has come to.
public struct CollectReport: Sendable, Hashable {
    /// Records that were statements.
    public internal(set) var read = 0
    /// Statements that were added to the queue.
    public internal(set) var collected = 0
    /// Statements that had been collected before.
    public internal(set) var alreadyKnown = 0
    /// Statements whose id had been collected before with another content; the first one counts.
    public internal(set) var changed = 0
    /// Records that could not be used.
    public internal(set) var malformed = 0
    /// The first of them.
    public internal(set) var malformedRecords: [MalformedRecord] = []
    /// The sources that are read over the network, by name; their figures are part of the sums above.
    public internal(set) var sources: [SourceReport] = []

    /// How many malformed records are kept.
    private static let kept = 100

    mutating func add(_ other: CollectReport) {
        read += other.read
        collected += other.collected
        alreadyKnown += other.alreadyKnown
        changed += other.changed
        malformed += other.malformed
        malformedRecords += other.malformedRecords.prefix(max(0, Self.kept - malformedRecords.count))
    }

    mutating func note(_ record: MalformedRecord) {
        malformed += 1
        if malformedRecords.count < Self.kept { malformedRecords.append(record) }
    }
}

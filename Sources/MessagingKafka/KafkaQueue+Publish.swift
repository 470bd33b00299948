#if Kafka
import Messaging
import Synchronization

extension KafkaQueue {
    // swift-format-ignore: AllPublicDeclarationsHaveDocumentation
    public func publish(_ messages: [Message], to queue: String) async throws(QueueError) -> [PublishOutcome] {
        try NameRules.validate(queue: queue)
        try checkOpen()
        guard let entry = try await registry.recent(queue) else { throw Self.missing(queue) }
        var outcomes = [PublishOutcome](repeating: .accepted, count: messages.count)
        var indices: [Int] = []
        indices.reserveCapacity(messages.count)
        for (index, message) in messages.enumerated() {
            if let problem = Self.problem(message, maxBodyBytes: configuration.maxBodyBytes, queue: queue) {
                outcomes[index] = .refused(problem)
            } else if entry.isClosed {
                outcomes[index] = .refused(Self.closedForPublications(queue))
            } else {
                indices.append(index)
            }
        }
        if indices.isEmpty { return outcomes }
        // Messages without a key stay together, so that a batch is few requests; the next call takes another partition.
        let spread = Int32.random(in: 0..<Int32(clamping: max(1, entry.partitions)))
        let places = Places(queue, partitions: entry.partitions, spread: spread, wall: UnixTime.milliseconds())
        let kept = indices.count == messages.count ? messages : indices.map { messages[$0] }
        let failures: [Int: KafkaReport]
        do throws(KafkaFailure) {
            failures = try await broker.publisher.failures(of: places.work(kept))
        } catch {
            throw KafkaErrors.error(error, queue: queue, doing: "publishing")
        }
        for (position, report) in failures { outcomes[indices[position]] = outcome(report, queue) }
        if failures.count == messages.count {
            try check(Array(failures.values), queue)
            if failures.allSatisfy({ KafkaErrors.isMissing($0.value.failure) }) {
                // What this client knows of the queue is old; deleted queues are told apart from lost topics.
                _ = try await self.entry(of: queue)
            }
        }
        return outcomes
    }

    private static func closedForPublications(_ queue: String) -> QueueError {
        QueueError(.queueClosed, "the queue is closed for publications", queue: queue)
    }

    /// - Throws: `unavailable` when the broker got none of the messages.
    func check(_ reports: [KafkaReport], _ queue: String) throws(QueueError) {
        guard reports.allSatisfy({ PublishVerdict($0) == .again }), let failure = reports.first?.failure else { return }
        if state.withLock({ $0.isClosed }) { throw Self.closed }
        let cause = broker.publisher.trouble.map { " (\($0))" } ?? ""
        let error = KafkaErrors.error(failure, queue: queue, doing: "publishing")
        throw QueueError(
            error.code == .brokerError ? .unavailable : error.code,
            error.message + cause,
            queue: queue,
            underlying: failure
        )
    }

    /// What the rules of every backend and of Kafka's headers say against a message.
    static func problem(_ message: Message, maxBodyBytes: Int, queue: String) -> QueueError? {
        if let problem = MessageRules.problem(message, maxBodyBytes: maxBodyBytes, queue: queue) { return problem }
        // librdkafka's headers are C strings.
        if message.headers.contains(where: { $0.name.utf8.contains(0) }) {
            return QueueError(
                .invalidArgument,
                "a header's name has a zero byte, which Kafka's clients cannot read",
                queue: queue
            )
        }
        return nil
    }

    /// Where the messages of one call go.
    struct Places {
        private let main: String
        private let scheduled: String
        private let partitions: Int
        private let spread: Int32
        private let wall: Int64

        /// - Parameters:
        ///   - queue: The queue.
        ///   - partitions: How many partitions it has.
        ///   - spread: Where messages without a key go.
        ///   - wall: The time, in milliseconds since 1970.
        init(_ queue: String, partitions: Int, spread: Int32, wall: Int64) {
            main = KafkaNames.main(queue)
            scheduled = KafkaNames.scheduled(queue)
            self.partitions = partitions
            self.spread = spread
            self.wall = wall
        }

        /// The records of messages.
        func work(_ messages: [Message]) -> KafkaPublisher.Work {
            if messages.contains(where: { $0.due != nil }) { return .orders(messages.map(order)) }
            let partitions = messages.map { lane($0) }
            return .run(KafkaPublisher.Run(topic: main, messages: messages, partitions: partitions))
        }

        private func lane(_ message: Message) -> Int32 {
            guard let key = message.key else { return spread }
            return Lanes.partition(of: key.utf8, among: partitions)
        }

        /// The record of a message, in its lane or where it waits for its time.
        private func order(_ message: Message) -> KafkaPublisher.Order {
            var due: Int64?
            switch message.due {
            case nil: break
            case .after(let delay)?: if delay > .zero { due = wall + min(delay.milliseconds, DelayLevels.longest) }
            case .at(let date)?: due = min(UnixTime.milliseconds(date), wall + DelayLevels.longest)
            }
            var place = TopicPartition(topic: main, partition: lane(message))
            if let due, due > wall {
                place = TopicPartition(topic: scheduled, partition: Int32(DelayLevels.level(for: due - wall)))
            }
            return KafkaPublisher.Order(place: place, payload: Envelope(message, due: due).payload)
        }
    }

    func outcome(_ report: KafkaReport, _ queue: String) -> PublishOutcome {
        let failure = report.failure ?? KafkaFailure(code: 0, name: "NO_ERROR", text: "no error")
        switch PublishVerdict(report) {
        case .accepted: return .accepted
        case .again, .refused: return .refused(KafkaErrors.error(failure, queue: queue, doing: "publishing"))
        case .indeterminate:
            return .indeterminate(
                QueueError(
                    .indeterminate,
                    "the broker may have the message: \(failure); publish the same id again",
                    queue: queue,
                    underlying: failure
                )
            )
        }
    }
}
#endif

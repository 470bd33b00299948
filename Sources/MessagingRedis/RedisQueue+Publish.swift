#if Redis
import Messaging

extension RedisQueue {
    /// The largest number of messages of one script call: it keeps Redis from serving others while it runs.
    static let chunkCount = 128
    /// How many the first call of a publication has, so that Redis begins while the others are written; each has twice as
    /// many as the one before.
    private static let firstChunk = 16
    /// The largest number of bytes of one script call.
    private static let chunkBytes = 1 << 20
    /// How many bytes are on their way before their confirmations are awaited.
    private static let windowBytes = 8 << 20

    // swift-format-ignore: AllPublicDeclarationsHaveDocumentation
    public func publish(_ messages: [Message], to queue: String) async throws(QueueError) -> [PublishOutcome] {
        try NameRules.validate(queue: queue)
        try checkOpen()
        var outcomes = [PublishOutcome?](repeating: nil, count: messages.count)
        var chunks: [Range<Int>] = []
        var window = 0
        var isFirst = true
        for chunk in Self.chunks(messages, first: Self.firstChunk) {
            chunks.append(chunk)
            window += messages[chunk].reduce(0) { $0 + $1.body.count }
            if window >= Self.windowBytes || chunk.upperBound == messages.count {
                try await publish(messages, chunks, to: queue, &outcomes, mayThrow: isFirst)
                (chunks, window, isFirst) = ([], 0, false)
            }
        }
        return outcomes.map { $0 ?? .refused(QueueError(.brokerError, "Redis sent no outcome", queue: queue)) }
    }

    /// Cuts a batch into script calls, the first of which has at most so many messages.
    static func chunks(_ messages: [Message], first: Int) -> [Range<Int>] {
        var chunks: [Range<Int>] = []
        var start = 0
        var bytes = 0
        var count = first
        for index in messages.indices {
            let size = messages[index].body.count
            if index > start, index - start >= count || bytes + size > chunkBytes {
                chunks.append(start..<index)
                (start, bytes) = (index, 0)
                count = min(count * 2, chunkCount)
            }
            bytes += size
        }
        if start < messages.count { chunks.append(start..<messages.count) }
        return chunks
    }

    /// Publishes one window.
    ///
    /// A failure before anything was sent is thrown while nothing has been published at all.
    private func publish(
        _ messages: [Message],
        _ chunks: [Range<Int>],
        to queue: String,
        _ outcomes: inout [PublishOutcome?],
        mayThrow: Bool
    ) async throws(QueueError) {
        let limit = configuration.maxBodyBytes
        var calls: [ScriptCall] = []
        var sent: [[Int]] = []
        for chunk in chunks {
            var valid: [Int] = []
            for index in chunk {
                if let problem = MessageRules.problem(messages[index], maxBodyBytes: limit, queue: queue) {
                    outcomes[index] = .refused(problem)
                } else {
                    valid.append(index)
                }
            }
            if valid.isEmpty { continue }
            calls.append(publishCall(messages, valid, queue))
            sent.append(valid)
        }
        if calls.isEmpty { return }
        do throws(QueueError) {
            var replies = try await link.run(calls, overlaps: true)
            var unknown: [Int: QueueError] = [:]
            for index in replies.indices where replies[index].error?.hasPrefix("NOTFOUND") == true {
                // The queue vanished under a client that knows it; a script that finds no queue has added nothing.
                guard (try? await recreate(queue)) == true else { continue }
                do throws(QueueError) {
                    if let again = try await link.run([calls[index]]).first { replies[index] = again }
                } catch {
                    // The second attempt may have been carried out, whatever the first one found.
                    if error.code == .indeterminate { unknown[index] = error.about(queue) }
                }
            }
            let isFailure = unknown.isEmpty && replies.allSatisfy { $0.error != nil }
            for (place, (indices, reply)) in zip(sent, replies).enumerated() {
                if let error = unknown[place] {
                    for index in indices { outcomes[index] = .indeterminate(error) }
                } else if let error = reply.error {
                    let error = RedisErrors.error(error, queue: queue)
                    if mayThrow, isFailure { throw error }
                    for index in indices { outcomes[index] = .refused(error) }
                } else if let count = reply.integer, count == indices.count {
                    for index in indices { outcomes[index] = .accepted }
                } else {
                    let codes = reply.strings
                    // Where the script adds, an error of the server is one of its answers.
                    if codes.contains(where: RedisLink.isFromReplica) { link.current?.close() }
                    for (position, index) in indices.enumerated() where position < codes.count {
                        outcomes[index] = Self.outcome(codes[position], messages[index], queue)
                    }
                }
            }
        } catch  where error.code == .indeterminate {
            for index in sent.joined() { outcomes[index] = .indeterminate(error.about(queue)) }
        } catch {
            if mayThrow { throw error.about(queue) }
            for index in sent.joined() { outcomes[index] = .refused(error.about(queue)) }
        }
    }

    private func publishCall(_ messages: [Message], _ indices: [Int], _ queue: String) -> ScriptCall {
        let keys = RedisKeys(queue: queue)
        let plan = PublishPlan(messages, indices)
        return ScriptCall(
            .publish,
            keys: [keys.log, keys.meta, keys.due, keys.held] + keys.ids,
            arguments: 1 + plan.words,
            bytes: 512 + indices.reduce(0) { $0 + messages[$1].body.count + 128 }
        ) { writer in
            writer.word(keys.wake)
            plan.write(messages, &writer)
        }
    }

    private static func outcome(_ code: String, _ message: Message, _ queue: String) -> PublishOutcome {
        switch code {
        case "A": .accepted
        case "D": .duplicate
        case "C":
            .refused(
                QueueError(
                    .idConflict,
                    "the id '\(message.id)' was published before with another body",
                    queue: queue
                )
            )
        case "F":
            .refused(
                QueueError(
                    .queueFull,
                    "the queue has reached its bound; publish again when consumers have caught up",
                    queue: queue
                )
            )
        case "X":
            .refused(QueueError(.queueClosed, "the queue is closed for publications", queue: queue))
        default: .refused(RedisErrors.error(code, queue: queue))
        }
    }
}

extension QueueError {
    /// The error, naming the queue it happened to.
    func about(_ queue: String) -> QueueError {
        QueueError(code, message, queue: self.queue ?? queue, isRetryable: isRetryable, underlying: underlying)
    }
}
#endif

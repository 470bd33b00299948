#if SQLite
import Messaging

#if canImport(FoundationEssentials)
import FoundationEssentials
#else
import Foundation
#endif

extension SQLiteQueue {
    /// How many messages one transaction takes from one call, so that others are not held up.
    private static let chunk = 1000
    /// How many bytes of bodies that are at most.
    private static let chunkBytes = 8 << 20

    /// Publishes messages and returns once they are committed.
    ///
    /// A call with more than 1000 messages is several transactions, in order.
    ///
    /// - Parameters:
    ///   - messages: The messages, in order. One that is refused never fails the others.
    ///   - queue: A declared queue.
    /// - Returns: One outcome per message, in the same order. Refusals are `invalidArgument` for an id that does not
    ///   have 1 to 512 bytes, a header that begins with `mq-` or a date that is no number, `tooLarge`, `idConflict` and
    ///   `queueFull`; `indeterminate` when the disk failed during the commit.
    /// - Throws: `QueueError` when nothing was published: `notFound` for a queue that was not declared; those of
    ///   ``SQLiteStorage`` for a file that cannot be used.
    public func publish(_ messages: [Message], to queue: String) async throws(QueueError) -> [PublishOutcome] {
        let file = try await file()
        var outcomes: [PublishOutcome?] = Array(repeating: nil, count: messages.count)
        var publications: [(index: Int, publication: Publication)] = []
        publications.reserveCapacity(messages.count)
        for (index, message) in messages.enumerated() {
            if let problem = problem(message, queue) {
                outcomes[index] = .refused(problem)
            } else {
                publications.append((index, Publication(message)))
            }
        }
        var rest = publications[...]
        repeat {
            let chunk = Self.nextChunk(&rest)
            let part = chunk.map(\.publication)
            let failure: QueueError
            do throws(QueueError) {
                // With nothing to publish this still tells whether the queue exists.
                let answers = try await file.commits.perform { transaction in
                    try transaction.publish(part, to: queue)
                }
                for ((index, _), outcome) in zip(chunk, answers) { outcomes[index] = outcome }
                continue
            } catch {
                failure = error
            }
            let isFirst = chunk.startIndex == publications.startIndex
            if isFirst, failure.code != .indeterminate {
                throw QueueError(
                    failure.code,
                    failure.message,
                    queue: queue,
                    isRetryable: failure.isRetryable,
                    underlying: failure.underlying
                )
            }
            // Earlier parts are committed, so the call cannot say that nothing was published.
            let outcome: PublishOutcome =
                failure.code == .indeterminate ? .indeterminate(failure) : .refused(failure)
            for (index, _) in chunk { outcomes[index] = outcome }
            for (index, _) in rest { outcomes[index] = .refused(failure) }
            rest = []
        } while !rest.isEmpty
        return outcomes.map { $0 ?? .refused(GroupCommit.closed) }
    }

    private static func nextChunk(
        _ rest: inout ArraySlice<(index: Int, publication: Publication)>
    ) -> ArraySlice<(index: Int, publication: Publication)> {
        var bytes = 0
        var end = rest.startIndex
        while end < rest.endIndex, end - rest.startIndex < chunk {
            bytes += rest[end].publication.message.body.count
            if end > rest.startIndex, bytes > chunkBytes { break }
            end += 1
        }
        defer { rest = rest[end...] }
        return rest[..<end]
    }

    private func problem(_ message: Message, _ queue: String) -> QueueError? {
        if case .at(let date)? = message.due, date.timeIntervalSinceReferenceDate.isNaN {
            return QueueError(.invalidArgument, "the due date is not a number", queue: queue)
        }
        return MessageRules.problem(message, maxBodyBytes: configuration.maxBodyBytes, queue: queue)
    }
}
#endif

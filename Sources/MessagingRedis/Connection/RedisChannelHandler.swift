#if Redis
import DequeModule
import Messaging
import NIOCore

/// Matches replies with the batches of commands that wait for them, in order, on the connection's event loop.
///
/// Every batch has a deadline. When the oldest one passes it, or the connection ends, everything that waits fails, and
/// the connection is of no more use: what was written may or may not have been carried out.
final class RedisChannelHandler: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer
    typealias OutboundOut = ByteBuffer

    /// Ends one batch: with its replies or with the reason.
    typealias Completion = @Sendable (Result<[RedisReply], QueueError>) -> Void

    private struct Batch {
        var missing: Int
        var replies: [RedisReply]
        let deadline: NIODeadline
        let completion: Completion
    }

    private let parser: ReplyParser
    private let endpoint: String
    /// Takes replies nobody asked for: messages of subscriptions.
    private let onPush: (@Sendable (RedisReply) -> Void)?
    private var waiting = Deque<Batch>()
    private var context: ChannelHandlerContext?
    private var flushIsScheduled = false
    private var timer: Scheduled<Void>?
    private var failure: QueueError?

    init(parser: ReplyParser, endpoint: String, onPush: (@Sendable (RedisReply) -> Void)? = nil) {
        self.parser = parser
        self.endpoint = endpoint
        self.onPush = onPush
    }

    func handlerAdded(context: ChannelHandlerContext) { self.context = context }

    func handlerRemoved(context: ChannelHandlerContext) {
        self.context = nil
        timer?.cancel()
    }

    /// Writes a batch.
    ///
    /// Must be called on the event loop.
    func submit(_ commands: RESPWriter, deadline: NIODeadline, _ completion: @escaping Completion) {
        guard let context, failure == nil, context.channel.isActive else {
            return completion(.failure(failure ?? notConnected))
        }
        // No reply will come for no command.
        if commands.commands == 0 { return completion(.success([])) }
        waiting.append(Batch(missing: commands.commands, replies: [], deadline: deadline, completion: completion))
        context.write(wrapOutboundOut(commands.buffer), promise: nil)
        if !flushIsScheduled {
            // Batches that arrive in the same turn of the loop leave in one system call.
            flushIsScheduled = true
            let loopBound = NIOLoopBound(self, eventLoop: context.eventLoop)
            context.eventLoop.execute {
                let handler = loopBound.value
                handler.flushIsScheduled = false
                handler.context?.flush()
            }
        }
        armTimer(context)
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        let buffer = unwrapInboundIn(data)
        do throws(ReplyParser.Malformed) {
            try buffer.withUnsafeReadableBytes { bytes throws(ReplyParser.Malformed) in try parser.feed(bytes) }
            while let reply = try parser.next() { take(reply) }
        } catch {
            end(
                context,
                QueueError(
                    .unavailable,
                    "\(endpoint) does not speak the protocol of Redis (\(error.reason))",
                    isRetryable: false
                )
            )
        }
    }

    private func take(_ reply: RedisReply) {
        if let onPush, reply.isPush || waiting.isEmpty {
            onPush(reply)
            return
        }
        guard var batch = waiting.popFirst() else { return }
        batch.replies.append(reply)
        batch.missing -= 1
        if batch.missing > 0 {
            waiting.prepend(batch)
        } else {
            batch.completion(.success(batch.replies))
        }
    }

    func channelInactive(context: ChannelHandlerContext) {
        end(context, QueueError(.unavailable, "the connection to \(endpoint) was closed"))
        context.fireChannelInactive()
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        end(context, RedisErrors.broken(error, endpoint: endpoint))
    }

    // MARK: - Deadlines

    /// One timer watches the oldest batch.
    private func armTimer(_ context: ChannelHandlerContext) {
        guard timer == nil, let deadline = waiting.first?.deadline else { return }
        let loopBound = NIOLoopBound(self, eventLoop: context.eventLoop)
        timer = context.eventLoop.scheduleTask(deadline: deadline) { loopBound.value.timerFired() }
    }

    private func timerFired() {
        timer = nil
        guard let context, let oldest = waiting.first else { return }
        if oldest.deadline <= .now() {
            end(context, QueueError(.unavailable, "\(endpoint) did not answer in time"))
        } else {
            armTimer(context)
        }
    }

    // MARK: - The end

    /// What is said of commands that were sent and not answered.
    static let unknown = "; whether the command was carried out is unknown"

    private var notConnected: QueueError { QueueError(.unavailable, "the connection to \(endpoint) is closed") }

    private func end(_ context: ChannelHandlerContext, _ error: QueueError) {
        guard failure == nil else { return }
        failure = error
        timer?.cancel()
        timer = nil
        let lost = waiting
        waiting = []
        let unknown = QueueError(
            .indeterminate,
            error.message + Self.unknown,
            isRetryable: error.isRetryable,
            underlying: error.underlying
        )
        for batch in lost { batch.completion(.failure(unknown)) }
        context.close(promise: nil)
    }
}
#endif

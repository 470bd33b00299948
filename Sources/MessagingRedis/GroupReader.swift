#if Redis
import Logging
import Messaging
import NIOConcurrencyHelpers

/// Reads a group's streams on a connection of its own, and can be interrupted while it waits.
final class GroupReader: Sendable {
    static let logSource: UInt32 = 0
    static let privateSource: UInt32 = 1

    struct Item {
        let id: EntryID
        let receipt: Receipt
        let entry: WireFormat.Entry
    }

    private let link: RedisLink
    private let control: RedisLink
    private let commandTimeout: Duration
    private struct Reading {
        /// Which read is under way; zero when none is.
        var current: UInt64 = 0
        var last: UInt64 = 0
        var isClosing = false
    }

    private let reading = NIOLockedValueBox(Reading())

    init(_ configuration: RedisConfiguration, control: RedisLink, logger: Logger) {
        self.link = RedisLink(configuration, .reads, logger: logger)
        self.control = control
        self.commandTimeout = configuration.commandTimeout
    }

    /// Reads once.
    ///
    /// Cancelling the task ends the wait within milliseconds; what arrives all the same is returned.
    func read(
        _ step: ReadPlan.Step,
        log: String,
        retry: String,
        group: String,
        consumer: String,
        block: Duration
    ) async throws(QueueError) -> [Item] {
        var writer = RESPWriter()
        if step.blocks {
            // BLOCK 0 would wait for ever.
            Self.command(
                &writer,
                group,
                consumer,
                count: step.log,
                block: Swift.max(1, block.milliseconds),
                streams: [retry, log]
            )
        } else {
            for (stream, count) in [(retry, step.retry), (log, step.log)] where count > 0 {
                Self.command(&writer, group, consumer, count: count, block: nil, streams: [stream])
            }
        }
        let connection = try await link.connection()
        let number = reading.withLockedValue { reading -> UInt64? in
            if reading.isClosing { return nil }
            reading.last += 1
            reading.current = reading.last
            return reading.last
        }
        guard let number else { throw RedisLink.closedError }
        defer { reading.withLockedValue { $0.current = 0 } }
        let timeout = commandTimeout + (step.blocks ? block : .zero)
        let commands = writer
        let result: Result<[RedisReply], QueueError> = await withTaskCancellationHandler {
            do throws(QueueError) {
                return .success(try await connection.send(commands, timeout: timeout))
            } catch {
                return .failure(error)
            }
        } onCancel: {
            if step.blocks { Task { await self.interrupt(number, connection) } }
        }
        let replies: [RedisReply]
        switch result {
        case .success(let all): replies = all
        case .failure(let error):
            // A read whose reply is lost leaves its entries pending until their lease has run out; nothing is unknown
            // to the caller but that.
            throw QueueError(
                .unavailable,
                error.message,
                isRetryable: error.isRetryable,
                underlying: error.underlying
            )
        }
        var items: [Item] = []
        var failure: QueueError?
        RedisLink.leaveReplica(connection, replies)
        for reply in replies {
            do throws(QueueError) {
                try Self.parse(reply, log: log, &items)
            } catch {
                failure = error
            }
        }
        // What one stream gave must not be lost by the other's error, which the next read meets again.
        if let failure, items.isEmpty { throw failure }
        return items
    }

    /// Ends the wait of the read that is under way, and lets no other begin.
    func shut() async {
        let number = reading.withLockedValue { reading in
            reading.isClosing = true
            return reading.current
        }
        guard number != 0, let connection = link.current else { return }
        await interrupt(number, connection)
    }

    private func interrupt(_ number: UInt64, _ connection: RedisConnection) async {
        // The server answers 0 while the read has not reached it yet. On a busy machine that may be for long: some two
        // seconds in all, because closing the connection leaves what it has just been given to the end of the lease.
        for attempt in 1...20 {
            guard reading.withLockedValue({ $0.current == number }) else { return }
            guard
                let reply = try? await control.command(["CLIENT", "UNBLOCK", String(connection.clientID), "TIMEOUT"])
            else { break }
            if reply.integer == 1 { return }
            try? await Task.sleep(for: .milliseconds(10 * attempt))
        }
        if reading.withLockedValue({ $0.current == number }) { connection.close() }
    }

    func close() { link.close() }

    private static func command(
        _ writer: inout RESPWriter,
        _ group: String,
        _ consumer: String,
        count: Int,
        block: Int64?,
        streams: [String]
    ) {
        writer.command(7 + (block == nil ? 0 : 2) + 2 * streams.count)
        for word in ["XREADGROUP", "GROUP", group, consumer, "COUNT", String(count)] { writer.word(word) }
        if let block {
            writer.word("BLOCK")
            writer.word(block)
        }
        writer.word("STREAMS")
        for stream in streams { writer.word(stream) }
        for _ in streams { writer.word(">") }
    }

    /// `[[stream, [[id, [field, value, …]], …]], …]`, or null.
    private static func parse(_ reply: RedisReply, log: String, _ items: inout [Item]) throws(QueueError) {
        // An interrupted read answers with an error on some versions, with null on others.
        if reply.error?.hasPrefix("UNBLOCKED") == true { return }
        try reply.read(nil) { (cursor) throws(RedisReplyCursor.Unexpected) in
            guard let streams = try cursor.array() else { return }
            for _ in 0..<streams {
                _ = try cursor.array()
                let source = try cursor.bytes().elementsEqual(log.utf8) ? logSource : privateSource
                let count = try cursor.array() ?? 0
                items.reserveCapacity(items.count + count)
                for _ in 0..<count {
                    _ = try cursor.array()
                    guard let id = EntryID(try cursor.bytes()) else { throw .init() }
                    items.append(
                        Item(id: id, receipt: id.receipt(source), entry: try WireFormat.read(&cursor, id: id))
                    )
                }
            }
        }
    }
}

extension EntryID {
    init(_ receipt: Receipt) { self.init(milliseconds: receipt.high, sequence: receipt.low) }

    func receipt(_ source: UInt32) -> Receipt {
        Receipt(high: milliseconds, low: sequence, fence: 1, source: source)
    }
}
#endif

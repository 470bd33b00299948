#if Redis
import CHiredis

/// Turns bytes into replies with the reader of hiredis.
///
/// The only file that calls it; no pointer leaves it.
///
/// Not thread-safe: it belongs to one connection and is used on its event loop.
final class ReplyParser {
    /// What hiredis writes to while it reads; replies that are complete are taken out.
    private final class Builder {
        // Callbacks of hiredis come one after the other within one call of the reader, so no two accesses overlap; checking
        // that at run time is a large part of reading a reply.
        @exclusivity(unchecked) var reply = RedisReply()
    }

    /// The bytes are no RESP.
    struct Malformed: Error {
        let reason: String
    }

    private let builder = Builder()
    // Both live exactly as long as this object: made in `init`, freed in `deinit`, never handed out.
    private let sink: UnsafeMutablePointer<mq_reply_sink>
    private let reader: UnsafeMutablePointer<redisReader>

    /// Returns `nil` when memory for the reader cannot be had.
    init?() {
        sink = .allocate(capacity: 1)
        sink.initialize(
            to: mq_reply_sink(
                context: Unmanaged.passUnretained(builder).toOpaque(),
                string: { context, type, bytes, length in
                    guard let context, let bytes else { return }
                    let builder = Unmanaged<Builder>.fromOpaque(context).takeUnretainedValue()
                    let kind: RedisReply.Kind =
                        type == REDIS_REPLY_ERROR ? .error : type == REDIS_REPLY_STATUS ? .status : .string
                    builder.reply.parts.append(
                        .init(kind: kind, value: Int64(builder.reply.bytes.count), length: length)
                    )
                    builder.reply.bytes.append(contentsOf: UnsafeRawBufferPointer(start: bytes, count: length))
                },
                array: { context, count in
                    guard let context else { return }
                    let builder = Unmanaged<Builder>.fromOpaque(context).takeUnretainedValue()
                    builder.reply.parts.append(.init(kind: .array, value: count, length: 0))
                },
                integer: { context, value in
                    guard let context else { return }
                    let builder = Unmanaged<Builder>.fromOpaque(context).takeUnretainedValue()
                    builder.reply.parts.append(.init(kind: .integer, value: value, length: 0))
                },
                null: { context in
                    guard let context else { return }
                    let builder = Unmanaged<Builder>.fromOpaque(context).takeUnretainedValue()
                    builder.reply.parts.append(.init(kind: .null, value: 0, length: 0))
                }
            )
        )
        guard let reader = mq_reader_create(sink) else {
            sink.deinitialize(count: 1)
            sink.deallocate()
            return nil
        }
        self.reader = reader
    }

    deinit {
        redisReaderFree(reader)
        sink.deinitialize(count: 1)
        sink.deallocate()
    }

    /// Adds bytes from the connection.
    func feed(_ bytes: UnsafeRawBufferPointer) throws(Malformed) {
        guard let start = bytes.baseAddress, !bytes.isEmpty else { return }
        guard redisReaderFeed(reader, start.assumingMemoryBound(to: CChar.self), bytes.count) == REDIS_OK else {
            throw Malformed(reason: String(cString: mq_reader_error(reader)))
        }
    }

    /// Returns the next whole reply, or `nil` when more bytes are needed.
    func next() throws(Malformed) -> RedisReply? {
        switch mq_reader_next(reader) {
        case 1:
            let reply = builder.reply
            builder.reply = RedisReply(like: reply)
            return reply
        case 0: return nil
        default: throw Malformed(reason: String(cString: mq_reader_error(reader)))
        }
    }
}
#endif

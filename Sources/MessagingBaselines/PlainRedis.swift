#if Redis
import CHiredis
import Messaging
import MessagingRedis

#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#else
import Darwin
#endif

extension PlainLibrary {
    /// hiredis: pipelined `XADD`, and `XREADGROUP` with `XACK`.
    ///
    /// - Parameter configuration: Where the server is; TLS is not possible here.
    /// - Returns: The library.
    public static func redis(_ configuration: RedisConfiguration) -> PlainLibrary {
        PlainLibrary(name: "hiredis \(HIREDIS_MAJOR).\(HIREDIS_MINOR).\(HIREDIS_PATCH)") {
            try PlainRedis(configuration, $0)
        }
    }
}

/// What a program does that uses hiredis and nothing else.
final class PlainRedis: PlainClient {
    private typealias Reply = UnsafeMutablePointer<redisReply>

    private static let group = "plain"

    private var context: UnsafeMutablePointer<redisContext>?
    private let settings: PlainSettings
    private let add: CommandWords

    init(_ configuration: RedisConfiguration, _ settings: PlainSettings) throws {
        guard configuration.tls == nil else {
            throw QueueError(
                .unsupported,
                "the plain hiredis client connects without TLS only; use redis:// or unix://"
            )
        }
        self.settings = settings
        var words = ["XADD", settings.queue, "*", "payload"].map { Array($0.utf8) } + [settings.body]
        if let id = settings.identifier { words += [Array("mq-id".utf8), Array(id.utf8)] }
        add = CommandWords(words)
        let limit = timeval(tv_sec: PlainLimits.answerSeconds, tv_usec: 0)
        switch configuration.endpoint {
        case .tcp(let host, let port): context = redisConnectWithTimeout(host, Int32(port), limit)
        case .unix(let path): context = redisConnectUnixWithTimeout(path, limit)
        }
        do {
            guard let context, context.pointee.err == 0 else {
                throw QueueError(.unavailable, "the plain hiredis client cannot connect to \(configuration)")
            }
            redisSetTimeout(context, limit)
            if let password = configuration.password {
                try command(["AUTH"] + (configuration.username.map { [$0] } ?? []) + [password])
            }
            if configuration.database != 0 { try command(["SELECT", String(configuration.database)]) }
            try command(["XGROUP", "CREATE", settings.queue, Self.group, "0", "MKSTREAM"])
        } catch {
            if let context { redisFree(context) }
            context = nil
            throw error
        }
    }

    func publish(_ count: Int) throws {
        let context = try open()
        var left = count
        while left > 0 {
            let part = min(left, settings.window)
            for _ in 0..<part { redisAppendCommandArgv(context, add.count, add.words, add.lengths) }
            for _ in 0..<part { freeReplyObject(try reply()) }
            left -= part
        }
    }

    func consume(_ count: Int) throws {
        var left = count
        var bytes = 0
        if left > 0 { try append(readWords(left)) }
        while left > 0 {
            let answer = try reply()
            defer { freeReplyObject(answer) }
            // [[stream, [[id, [field, value, …]], …]]]
            guard let stream = element(answer, 0), let entries = element(stream, 1), entries.pointee.elements > 0 else {
                throw QueueError.plain("hiredis", "\(left) messages are missing")
            }
            bytes += try acknowledge(entries)
            left -= entries.pointee.elements
            // The next read is on its way with the acknowledgement.
            if left > 0 { try append(readWords(left)) }
            freeReplyObject(try reply())
        }
        guard bytes >= count * settings.size else { throw QueueError.plain("hiredis", "bodies are too short") }
    }

    func close() {
        guard let context else { return }
        try? command(["DEL", settings.queue])
        redisFree(context)
        self.context = nil
    }

    private func readWords(_ left: Int) -> CommandWords {
        CommandWords(
            [
                "XREADGROUP", "GROUP", Self.group, "c", "COUNT", String(min(left, settings.window)), "BLOCK", "10000",
                "STREAMS", settings.queue, ">",
            ].map { Array($0.utf8) }
        )
    }

    /// Sends XACK for entries, and returns how many bytes their bodies have.
    private func acknowledge(_ entries: Reply) throws -> Int {
        let head = CommandWords(["XACK", settings.queue, Self.group].map { Array($0.utf8) })
        var words = Array(UnsafeBufferPointer(start: head.words, count: Int(head.count)))
        var lengths = Array(UnsafeBufferPointer(start: head.lengths, count: Int(head.count)))
        var bytes = 0
        for index in 0..<entries.pointee.elements {
            guard let entry = element(entries, index), let id = element(entry, 0), let fields = element(entry, 1),
                let body = element(fields, 1)
            else { throw QueueError.plain("hiredis", "an entry has no body") }
            words.append(UnsafePointer(id.pointee.str))
            lengths.append(Int(id.pointee.len))
            bytes += Int(body.pointee.len)
        }
        let context = try open()
        let status = withExtendedLifetime(head) {
            redisAppendCommandArgv(context, Int32(words.count), &words, lengths)
        }
        guard status == REDIS_OK else { throw failure() }
        return bytes
    }

    private func element(_ reply: Reply, _ index: Int) -> Reply? {
        guard reply.pointee.type == REDIS_REPLY_ARRAY, index < reply.pointee.elements else { return nil }
        return reply.pointee.element[index]
    }

    private func append(_ command: CommandWords) throws {
        guard redisAppendCommandArgv(try open(), command.count, command.words, command.lengths) == REDIS_OK else {
            throw failure()
        }
    }

    private func command(_ words: [String]) throws {
        try append(CommandWords(words.map { Array($0.utf8) }))
        freeReplyObject(try reply())
    }

    private func reply() throws -> Reply {
        var answer: UnsafeMutableRawPointer?
        guard redisGetReply(try open(), &answer) == REDIS_OK, let answer else { throw failure() }
        let reply = answer.assumingMemoryBound(to: redisReply.self)
        guard reply.pointee.type == REDIS_REPLY_ERROR else { return reply }
        defer { freeReplyObject(reply) }
        // The first word is the kind of error; what follows may repeat what was sent.
        let text = reply.pointee.str.map { String(cString: $0) } ?? ""
        throw QueueError.plain("hiredis", "Redis answered \(text.split(separator: " ").first ?? "an error")")
    }

    private func open() throws -> UnsafeMutablePointer<redisContext> {
        guard let context else { throw QueueError(.closed, "the plain hiredis client has been closed") }
        return context
    }

    private func failure() -> QueueError {
        QueueError.plain("hiredis", "the connection broke or no answer came in time")
    }
}

/// The words of a command in the form that hiredis takes.
private final class CommandWords {
    let count: Int32
    let words: UnsafeMutablePointer<UnsafePointer<CChar>?>
    let lengths: UnsafeMutablePointer<Int>
    private let storage: [UnsafeMutablePointer<CChar>]

    init(_ list: [[UInt8]]) {
        count = Int32(list.count)
        words = .allocate(capacity: list.count)
        lengths = .allocate(capacity: list.count)
        storage = list.map { word in
            let copy = UnsafeMutablePointer<CChar>.allocate(capacity: max(1, word.count))
            for (index, byte) in word.enumerated() { copy[index] = CChar(bitPattern: byte) }
            return copy
        }
        for (index, word) in list.enumerated() {
            (words + index).initialize(to: UnsafePointer(storage[index]))
            (lengths + index).initialize(to: word.count)
        }
    }

    deinit {
        for copy in storage { copy.deallocate() }
        words.deallocate()
        lengths.deallocate()
    }
}
#endif

#if Redis
import Messaging
import NIOCore
import NIOEmbedded
import Synchronization
import TestSupport
import Testing

@testable import MessagingRedis

private final class Notes<Element: Sendable>: Sendable {
    private let elements = Mutex<[Element]>([])
    var all: [Element] { elements.withLock { $0 } }
    func add(_ element: Element) { elements.withLock { $0.append(element) } }
}

/// How many are inside, and how many were at most.
private final class Gauge: Sendable {
    private let state = Mutex((now: 0, most: 0))
    var most: Int { state.withLock { $0.most } }
    func enter() { state.withLock { $0 = ($0.now + 1, max($0.most, $0.now + 1)) } }
    func leave() { state.withLock { $0.now -= 1 } }
}

@Suite("The gate", .timeLimit(.minutes(1)))
struct GateTests {
    @Test("lets one in at a time, in the order they came")
    func order() async throws {
        let gate = Gate()
        let order = Notes<Int>()
        #expect(await gate.enter())
        var tasks: [Task<Void, Never>] = []
        for number in 0..<10 {
            tasks.append(
                Task {
                    guard await gate.enter() else { return }
                    order.add(number)
                    await Task.yield()
                    gate.leave()
                }
            )
            // The calls must come one after the other.
            #expect(try await eventually { gate.waiting == number + 1 })
        }
        #expect(order.all.isEmpty)
        gate.leave()
        for task in tasks { await task.value }
        #expect(order.all == Array(0..<10))
    }

    @Test("never two inside")
    func exclusive() async {
        let gate = Gate()
        let gauge = Gauge()
        await withTaskGroup(of: Void.self) { group in
            for _ in 0..<200 {
                group.addTask {
                    guard await gate.enter() else { return }
                    gauge.enter()
                    await Task.yield()
                    gauge.leave()
                    gate.leave()
                }
            }
        }
        #expect(gauge.most == 1)
    }

    @Test("who is cancelled in line leaves it; those behind still get in")
    func cancelledInLine() async throws {
        let gate = Gate()
        #expect(await gate.enter())
        let cancelled = Task { await gate.enter() }
        #expect(try await eventually { gate.waiting == 1 })
        let patient = Task { await gate.enter() }
        #expect(try await eventually { gate.waiting == 2 })
        cancelled.cancel()
        #expect(await cancelled.value == false)
        gate.leave()
        #expect(await patient.value)
        gate.leave()
        let early = Task {
            withUnsafeCurrentTask { $0?.cancel() }
            return await gate.enter()
        }
        #expect(await early.value == false)
        #expect(await gate.enter())
    }

    @Test("closing waits for the one inside, sends the line away and stays shut")
    func close() async throws {
        let gate = Gate()
        #expect(await gate.enter())
        let waiting = Task { await gate.enter() }
        #expect(try await eventually { gate.waiting == 1 })
        let isClosed = Notes<Void>()
        let closing = Task {
            await gate.close()
            isClosed.add(())
        }
        #expect(await waiting.value == false)
        #expect(isClosed.all.isEmpty)
        let late = Task { await gate.enter() }
        gate.leave()
        await closing.value
        // Nobody waits for ever at a gate that does not open again.
        #expect(await late.value == false)
        #expect(await gate.enter() == false)
    }
}

@Suite("A connection to Redis")
struct ChannelHandlerTests {
    private typealias Answers = Notes<(Int, Result<[Tree?], QueueError>)>

    /// A connected channel with the handler under test.
    private struct Line {
        let channel: EmbeddedChannel
        let handler: RedisChannelHandler
        let answers = Answers()
        let pushes = Notes<Tree?>()

        init(isSubscription: Bool = false) throws {
            let pushes = pushes
            let onPush: @Sendable (RedisReply) -> Void = { pushes.add($0.tree) }
            handler = RedisChannelHandler(
                parser: try #require(ReplyParser()),
                endpoint: "h:1",
                onPush: isSubscription ? onPush : nil
            )
            channel = EmbeddedChannel(handler: handler)
            channel.connect(to: try SocketAddress(ipAddress: "127.0.0.1", port: 1), promise: nil)
        }

        func submit(_ number: Int, commands: Int = 1, deadline: NIODeadline = .distantFuture) {
            var writer = RESPWriter()
            for _ in 0..<commands { writer.command(["PING", "\(number)"]) }
            let answers = answers
            handler.submit(writer, deadline: deadline) { result in
                answers.add((number, result.map { $0.map(\.tree) }))
            }
        }

        func receive(_ trees: Tree...) throws { try receive(trees.flatMap(\.encoded)) }

        func receive(_ bytes: [UInt8]) throws { try channel.writeInbound(ByteBuffer(bytes: bytes)) }

        var errors: [QueueError] {
            answers.all.compactMap { if case .failure(let error) = $0.1 { error } else { nil } }
        }

        var replies: [[Tree?]] {
            answers.all.compactMap { if case .success(let trees) = $0.1 { trees } else { nil } }
        }
    }

    @Test("pipelined commands leave together and their replies come in order")
    func pipelined() throws {
        let line = try Line()
        line.submit(1)
        line.submit(2, commands: 3)
        line.submit(3)
        #expect(try line.channel.readOutbound(as: ByteBuffer.self) == nil, "written in one turn, flushed at its end")
        line.channel.embeddedEventLoop.run()
        var sent: [UInt8] = []
        while let buffer = try line.channel.readOutbound(as: ByteBuffer.self) {
            sent += Array(buffer.readableBytesView)
        }
        let words = [1, 2, 2, 2, 3].map { "*2\r\n$4\r\nPING\r\n$1\r\n\($0)\r\n" }
        #expect(String(decoding: sent, as: UTF8.self) == words.joined())

        let replies: [Tree] = [.integer(1), .text("a"), .error("ERR b"), .null, .array([.text("c")])]
        let bytes = replies.flatMap(\.encoded)
        for byte in bytes { try line.receive([byte]) }
        #expect(line.answers.all.map(\.0) == [1, 2, 3])
        #expect(line.replies == [[.integer(1)], [.text("a"), .error("ERR b"), .null], [.array([.text("c")])]])
        _ = try line.channel.finish()
    }

    @Test("a reply that is late ends the connection: everything that waits is indeterminate")
    func deadline() throws {
        let line = try Line()
        line.submit(1, deadline: .now())
        line.submit(2)
        #expect(line.answers.all.isEmpty)
        line.channel.embeddedEventLoop.advanceTime(to: .now())
        #expect(line.answers.all.map(\.0) == [1, 2])
        #expect(line.errors.map(\.code) == [.indeterminate, .indeterminate])
        #expect(line.errors.allSatisfy { $0.isRetryable && $0.message.contains("did not answer in time") })
        #expect(!line.channel.isActive)
        line.submit(3)
        #expect(line.errors.last?.code == .unavailable)
        #expect(line.answers.all.count == 3)
    }

    @Test("a reply in time keeps the connection, and the next deadline is watched")
    func nextDeadline() throws {
        let line = try Line()
        let start = NIODeadline.now()
        line.submit(1, deadline: start - .seconds(1))
        line.submit(2, deadline: start)
        try line.receive(.integer(1))
        line.channel.embeddedEventLoop.advanceTime(to: start)
        #expect(line.answers.all.map(\.0) == [1, 2])
        #expect(line.replies == [[.integer(1)]])
        #expect(line.errors.map(\.code) == [.indeterminate])
    }

    @Test("a connection that is lost leaves everything that waits indeterminate")
    func lost() throws {
        let line = try Line()
        line.submit(1, commands: 2)
        line.submit(2)
        try line.receive(.integer(1))
        line.channel.close(promise: nil)
        line.channel.embeddedEventLoop.run()
        #expect(line.answers.all.map(\.0) == [1, 2])
        #expect(line.errors.map(\.code) == [.indeterminate, .indeterminate])
        #expect(line.errors.allSatisfy { $0.message.contains("was closed") })
        line.submit(3)
        #expect(line.errors.last?.code == .unavailable)
        #expect(line.errors.last?.isRetryable == true)
    }

    @Test("an error of the channel ends it with its reason")
    func failed() throws {
        struct Broken: Error {}
        let line = try Line()
        line.submit(1)
        line.channel.pipeline.fireErrorCaught(Broken())
        line.channel.embeddedEventLoop.run()
        #expect(line.errors.map(\.code) == [.indeterminate])
        #expect(line.errors.first?.underlying is Broken)
        #expect(!line.channel.isActive)
    }

    @Test("a server that speaks another protocol is not tried again")
    func otherProtocol() throws {
        let line = try Line()
        line.submit(1)
        try line.receive(Array("HTTP/1.1 400 Bad Request\r\n\r\n".utf8))
        line.channel.embeddedEventLoop.run()
        #expect(line.errors.map(\.code) == [.indeterminate])
        #expect(line.errors.first?.isRetryable == false)
        #expect(line.errors.first?.message.contains("does not speak the protocol") == true)
        line.submit(2)
        #expect(line.errors.last?.code == .unavailable)
        #expect(line.errors.last?.isRetryable == false)
    }

    @Test("messages of a subscription come between replies without disturbing them")
    func pushes() throws {
        func push(_ text: String) -> Tree { .array([.text("message"), .text("channel"), .text(text)]) }
        let line = try Line(isSubscription: true)
        try line.receive(push("0"))
        line.submit(1)
        line.submit(2)
        try line.receive(
            push("1"),
            .array([.text("subscribe"), .text("channel"), .integer(1)]),
            push("2"),
            .integer(7)
        )
        try line.receive(push("3"))
        #expect(line.pushes.all == (0...3).map { push("\($0)") })
        #expect(
            line.replies == [[.array([.text("subscribe"), .text("channel"), .integer(1)])], [.integer(7)]]
        )
        _ = try line.channel.finish()
    }

    @Test("a reply that nobody asked for is passed over")
    func unasked() throws {
        let line = try Line()
        try line.receive(.integer(9))
        line.submit(1)
        try line.receive(.integer(1))
        #expect(line.replies == [[.integer(1)]])
        _ = try line.channel.finish()
    }

    @Test("nothing can be sent before the connection is there")
    func early() throws {
        let handler = RedisChannelHandler(parser: try #require(ReplyParser()), endpoint: "h:1")
        let channel = EmbeddedChannel(handler: handler)
        let answers = Notes<QueueError.Code?>()
        handler.submit(RESPWriter(), deadline: .distantFuture) { result in
            if case .failure(let error) = result { answers.add(error.code) } else { answers.add(nil) }
        }
        #expect(answers.all == [.unavailable])
        _ = try? channel.finish()
    }
}
#endif

import MessagingConformance
import MessagingConformanceFaults
import TestSupport
import Testing

@Suite("The TCP fault proxy", .timeLimit(.minutes(1)))
struct TCPFaultProxyTests {
    /// A server, a proxy in front of it, and a client that has had one answer through it.
    private struct Line {
        let server: EchoServer
        let proxy: TCPFaultProxy
        let client: PlainClient

        init() async throws {
            server = try await EchoServer.start()
            proxy = try await TCPFaultProxy.start(to: server.port)
            client = try await PlainClient.connect(proxy.port)
            try await client.send("hello")
            #expect(try await client.gets("hello"))
        }

        func end() async {
            await client.close()
            await proxy.close()
            await server.close()
        }
    }

    @Test("passes everything, counts bytes, requests and connections")
    func passes() async throws {
        let line = try await Line()
        try await line.client.send("again")
        #expect(try await line.client.gets("helloagain"))
        let traffic = try await line.proxy.traffic()
        #expect(traffic == ProxyTraffic(requestBytes: 10, replyBytes: 10, requests: 2, connections: 1, open: 1))
        await line.client.close()
        #expect(try await eventually { try await line.proxy.traffic().open == 0 })
        #expect(try await eventually { line.server.notes.closed == 1 })
        await line.end()
    }

    @Test("passes more than any buffer holds, both ways at once")
    func passesMuch() async throws {
        let line = try await Line()
        let part = (0..<65536).map { UInt8(truncatingIfNeeded: $0 &* 31 >> 3) }
        for _ in 0..<256 { try await line.client.send(part) }
        let count = 5 + 256 * part.count
        #expect(try await eventually(within: .seconds(30)) { line.client.notes.bytes.count == count })
        #expect(Array(line.client.notes.bytes.suffix(part.count)) == part)
        let traffic = try await line.proxy.traffic()
        #expect(traffic.requestBytes == count && traffic.replyBytes == count)
        await line.end()
    }

    @Test("cuts after the k-th byte of the request, once", arguments: [0, 1, 4, 5])
    func cutsRequests(after count: Int) async throws {
        let line = try await Line()
        try await line.proxy.apply(.cut(.requests, after: count))
        try? await line.client.send("world")
        #expect(try await eventually { line.client.notes.closed == 1 && line.server.notes.closed == 1 })
        #expect(line.server.notes.text == "hello" + "world".prefix(count))
        let traffic = try await line.proxy.traffic()
        #expect(traffic.cuts == 1 && traffic.requestBytes == 5 + count && traffic.open == 0)
        // The next connection is whole.
        let next = try await PlainClient.connect(line.proxy.port)
        try await next.send("next")
        #expect(try await next.gets("next"))
        await next.close()
        await line.end()
    }

    @Test("cuts after the k-th byte of the reply, counted over several pieces", arguments: [0, 3, 5, 8])
    func cutsReplies(after count: Int) async throws {
        let line = try await Line()
        try await line.proxy.apply(.cut(.replies, after: count))
        try? await line.client.send("world")
        if count > 5 {
            #expect(try await line.client.gets("helloworld"))
            try? await line.client.send("again")
        }
        #expect(try await eventually { line.client.notes.closed == 1 })
        #expect(line.server.notes.text.hasPrefix("helloworld"))
        // A reset may throw away what has come and was not read.
        #expect("helloworldagain".prefix(5 + count).hasPrefix(line.client.notes.text))
        #expect(try await line.proxy.traffic().replyBytes == 5 + count)
        await line.end()
    }

    @Test(
        "throws away the bytes of one direction, and ends the connection with the fault",
        arguments: FaultDirection.allCases
    )
    func drops(_ direction: FaultDirection) async throws {
        let line = try await Line()
        let whole = try await PlainClient.connect(line.proxy.port)
        try await line.proxy.apply(.drop(direction))
        try await line.client.send("lost")
        if direction == .replies { #expect(try await eventually { line.server.notes.text == "hellolost" }) }
        // Nobody is told while it lasts.
        try await Task.sleep(for: .milliseconds(20))
        #expect(line.client.notes.closed == 0 && line.client.notes.text == "hello")
        #expect(line.server.notes.text == (direction == .replies ? "hellolost" : "hello"))
        try await line.proxy.apply(.none)
        // Nothing may follow the gap; a connection without one goes on.
        #expect(try await eventually { line.client.notes.closed == 1 })
        try await whole.send("kept")
        #expect(try await whole.gets("kept"))
        #expect(line.client.notes.text == "hello")
        await whole.close()
        await line.end()
    }

    @Test("in silence nothing passes, not even an end, and afterwards everything does")
    func silence() async throws {
        let line = try await Line()
        try await line.proxy.apply(.silence([.requests, .replies]))
        try await line.client.send("held")
        await line.client.close()
        try await Task.sleep(for: .milliseconds(50))
        #expect(line.server.notes.text == "hello" && line.server.notes.ended == 0 && line.server.notes.closed == 0)
        #expect(try await line.proxy.traffic().open == 1)
        try await line.proxy.apply(.none)
        #expect(try await eventually { line.server.notes.text == "helloheld" })
        #expect(try await eventually { line.server.notes.closed == 1 })
        #expect(try await eventually { try await line.proxy.traffic().open == 0 })
        await line.end()
    }

    @Test("silence of replies lets requests through")
    func silentReplies() async throws {
        let line = try await Line()
        try await line.proxy.apply(.silence([.replies]))
        try await line.client.send("asked")
        #expect(try await eventually { line.server.notes.text == "helloasked" })
        #expect(line.client.notes.text == "hello")
        try await line.proxy.apply(.none)
        #expect(try await line.client.gets("helloasked"))
        await line.end()
    }

    @Test("a new connection in silence waits for its end")
    func connectsInSilence() async throws {
        let line = try await Line()
        try await line.proxy.apply(.silence([.requests, .replies]))
        let other = try await PlainClient.connect(line.proxy.port)
        try await other.send("other")
        try await Task.sleep(for: .milliseconds(20))
        #expect(line.server.notes.text == "hello")
        try await line.proxy.apply(.none)
        #expect(try await other.gets("other"))
        await other.close()
        await line.end()
    }

    @Test("delays both ways and keeps the order")
    func delays() async throws {
        let line = try await Line()
        try await line.proxy.apply(.delay(.milliseconds(40)))
        let start = ContinuousClock.now
        for piece in ["a", "b", "c"] { try await line.client.send(piece) }
        #expect(try await line.client.gets("helloabc"))
        // There and back.
        #expect(ContinuousClock.now - start >= .milliseconds(80))
        await line.end()
    }

    @Test("ends one direction and lets the other one finish")
    func halfCloses() async throws {
        let line = try await Line()
        try await line.proxy.apply(.halfClose(.requests))
        #expect(try await eventually { line.server.notes.ended == 1 })
        // The echo server ends its own direction then, and that passes.
        #expect(try await eventually { line.client.notes.ended == 1 || line.client.notes.closed == 1 })
        await line.end()
    }

    @Test("a client that ends its direction still gets the answer")
    func passesHalfClose() async throws {
        let line = try await Line()
        try await line.client.send("last")
        #expect(try await line.client.gets("hellolast"))
        try await line.client.finish()
        #expect(try await eventually { line.server.notes.ended == 1 })
        #expect(try await eventually { try await line.proxy.traffic().open == 0 })
        await line.end()
    }

    @Test("refuses connections, those that are there too")
    func refuses() async throws {
        let line = try await Line()
        try await line.proxy.apply(.refuse)
        #expect(try await eventually { line.client.notes.closed == 1 })
        // Making it may succeed or not; it never carries anything.
        if let other = try? await PlainClient.connect(line.proxy.port) {
            try? await other.send("other")
            #expect(try await eventually { other.notes.closed == 1 })
        }
        #expect(line.server.notes.text == "hello")
        try await line.proxy.apply(.none)
        let next = try await PlainClient.connect(line.proxy.port)
        try await next.send("next")
        #expect(try await next.gets("next"))
        await next.close()
        await line.end()
    }

    @Test("where nobody listens, a client is told at once")
    func noBroker() async throws {
        let server = try await EchoServer.start()
        await server.close()
        let proxy = try await TCPFaultProxy.start(to: server.port)
        // The reset may come while the client is still connecting: then it has been told at once as well.
        if let client = try? await PlainClient.connect(proxy.port) {
            #expect(try await eventually { client.notes.closed == 1 })
        }
        #expect(try await eventually { try await proxy.traffic().open == 0 })
        await proxy.close()
    }

    @Test("resets what is open, and goes on")
    func resets() async throws {
        let line = try await Line()
        try await line.proxy.resetConnections()
        #expect(try await eventually { line.client.notes.closed == 1 && line.server.notes.closed == 1 })
        let next = try await PlainClient.connect(line.proxy.port)
        try await next.send("next")
        #expect(try await next.gets("next"))
        await next.close()
        await line.end()
    }
}

#if RabbitMQ
import class Foundation.Thread
import Messaging
import Testing

@testable import MessagingRabbitMQ

#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#else
import Darwin
#endif

@Suite("Published messages are written together")
struct PublishBufferTests {
    private struct Frame: Equatable {
        var type: UInt8
        var channel: Int
        var payload: [UInt8]
    }

    private func frames(_ bytes: [UInt8]) throws -> [Frame] {
        var frames: [Frame] = []
        var rest = bytes[...]
        while !rest.isEmpty {
            try #require(rest.count >= 8)
            let head = Array(rest.prefix(7))
            let size = head[3...].reduce(0) { $0 << 8 | Int($1) }
            try #require(rest.count >= size + 8)
            let payload = Array(rest.dropFirst(7).prefix(size))
            #expect(rest.dropFirst(7 + size).first == 0xCE)
            frames.append(Frame(type: head[0], channel: Int(head[1]) << 8 | Int(head[2]), payload: payload))
            rest = rest.dropFirst(size + 8)
        }
        return frames
    }

    private func message(_ body: [UInt8], to key: String = "k", id: String? = "id") -> OutgoingMessage {
        var properties = AMQPProperties()
        properties.messageID = id
        return OutgoingMessage(exchange: "ex", routingKey: key, properties: properties, body: body)
    }

    private func written(_ messages: [OutgoingMessage], frameMax: Int = 4096) -> [UInt8] {
        var arena = Arena()
        var buffer = PublishBuffer(frameMax: frameMax, channel: 1)
        var written: [UInt8] = []
        for message in messages {
            if buffer.isFull { buffer.take { written += $0 } }
            let isTaken = buffer.begin(message, &arena)
            #expect(isTaken)
            var rest = message.body[...]
            while !rest.isEmpty {
                if buffer.isFull { buffer.take { written += $0 } }
                rest.prefix(buffer.chunk).withUnsafeBytes { buffer.add($0) }
                rest = rest.dropFirst(buffer.chunk)
            }
        }
        buffer.take { written += $0 }
        let isEmpty = buffer.isEmpty
        #expect(isEmpty)
        return written
    }

    @Test func aMessageIsAMethodAHeaderAndItsBody() throws {
        let frames = try frames(written([message([7, 8, 9])]))
        #expect(
            frames == [
                // basic.publish, ticket, "ex", "k", mandatory.
                Frame(type: 1, channel: 1, payload: [0, 60, 0, 40, 0, 0, 2, 101, 120, 1, 107, 1]),
                // Class, weight, size, flags of delivery mode and message id, both.
                Frame(
                    type: 2,
                    channel: 1,
                    payload: [0, 60, 0, 0, 0, 0, 0, 0, 0, 0, 0, 3, 0x10, 0x80, 2, 2, 105, 100]
                ),
                Frame(type: 3, channel: 1, payload: [7, 8, 9]),
            ]
        )
    }

    @Test func anEmptyBodyHasNoFrame() throws { #expect(try frames(written([message([])])).map(\.type) == [1, 2]) }

    @Test(arguments: [1, 4088, 4089, 8176, 300_000])
    func aLargeBodyComesInParts(_ size: Int) throws {
        let body = (0..<size).map { UInt8(truncatingIfNeeded: $0 &* 31) }
        let frames = try frames(written([message(body), message([1])]))
        let parts = frames.dropFirst(2).prefix { $0.type == 3 }
        #expect(Array(parts.map(\.payload).joined()) == body)
        #expect(parts.allSatisfy { $0.payload.count <= 4088 })
        #expect(frames.suffix(3).map(\.type) == [1, 2, 3])
    }

    @Test func eachGoesWhereItShall() throws {
        let messages = ["a", "a", "b", "a"].map { message([1], to: $0) }
        let methods = try frames(written(messages)).filter { $0.type == 1 }
        #expect(methods.map { $0.payload[10] } == Array("aaba".utf8))
    }

    @Test func whatFitsIntoNoFrameLeavesNothing() {
        var arena = Arena()
        var buffer = PublishBuffer(frameMax: 4096, channel: 1)
        var large = message([1])
        large.properties.headers = [AMQPHeader("h", .bytes([UInt8](repeating: 1, count: 5000)))]
        let hasLarge = buffer.begin(large, &arena)
        let hasLong = buffer.begin(message([1], to: String(repeating: "k", count: 256)), &arena)
        let isEmpty = buffer.isEmpty
        #expect(!hasLarge && !hasLong && isEmpty)
    }
}

@Suite("Writing to a socket ends")
struct SocketWriterTests {
    private func pair() throws -> (Int32, Int32) {
        var ends: [Int32] = [-1, -1]
        #if canImport(Darwin)
        let kind = SOCK_STREAM
        #else
        let kind = Int32(SOCK_STREAM.rawValue)
        #endif
        try #require(socketpair(AF_UNIX, kind, 0, &ends) == 0)
        _ = fcntl(ends[0], F_SETFL, fcntl(ends[0], F_GETFL) | O_NONBLOCK)
        return (ends[0], ends[1])
    }

    private func onThread<Result: Sendable>(_ body: @escaping @Sendable () -> Result) async -> Result {
        await withCheckedContinuation { continuation in
            Thread { continuation.resume(returning: body()) }.start()
        }
    }

    @Test func everythingArrivesThoughTheBufferOfTheSystemIsSmaller() async throws {
        let (writer, reader) = try pair()
        defer { close(writer) }
        let bytes = (0..<4 << 20).map { UInt8(truncatingIfNeeded: $0 &* 7) }
        // Both block: on threads of their own, because those that tasks share may be two.
        async let problem = onThread {
            let problem = bytes.withUnsafeBytes { SocketWriter.write($0, to: writer, within: .seconds(20)) }
            shutdown(writer, Int32(SHUT_WR))
            return problem
        }
        let arrived = await onThread {
            var arrived: [UInt8] = []
            var part = [UInt8](repeating: 0, count: 64 << 10)
            while true {
                let count = read(reader, &part, part.count)
                if count <= 0 { break }
                arrived += part.prefix(count)
            }
            close(reader)
            return arrived
        }
        #expect(await problem == nil)
        #expect(arrived == bytes)
    }

    @Test func aPeerThatDoesNotReadIsGivenUp() throws {
        let (writer, reader) = try pair()
        defer {
            close(writer)
            close(reader)
        }
        let start = ContinuousClock.now
        let bytes = [UInt8](repeating: 1, count: 8 << 20)
        let problem = bytes.withUnsafeBytes { SocketWriter.write($0, to: writer, within: .milliseconds(100)) }
        #expect(problem?.isTimeout == true)
        #expect(ContinuousClock.now - start < .seconds(20))
    }

    @Test func aPeerThatIsGoneIsAnErrorAndNoSignal() throws {
        let (writer, reader) = try pair()
        close(reader)
        defer { close(writer) }
        let problem = [1, 2].withUnsafeBytes { SocketWriter.write($0, to: writer, within: .seconds(1)) }
        #expect(problem != nil && problem?.isTimeout == false)
    }
}
#endif

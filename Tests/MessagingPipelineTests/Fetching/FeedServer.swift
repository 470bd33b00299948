import Foundation
import HTTPTypes
import Hummingbird
import HummingbirdTesting
import Logging
import NIOCore
import Synchronization

@testable import MessagingPipeline

/// An HTTP server on a loopback port whose answers a test decides.
final class FeedServer: Sendable {
    /// A request as it arrived.
    struct Asked: Sendable {
        let path: String
        let authority: String
        let headers: HTTPFields
        let server: FeedServer

        subscript(_ name: String) -> String? { HTTPField.Name(name).flatMap { headers[$0] } }
    }

    typealias Answer = @Sendable (Asked) async throws -> Response

    private let asked = Mutex<[Asked]>([])
    private let answer: Answer
    private let boundPort = Mutex(0)
    private let hanging = Mutex<(isOver: Bool, waiting: [CheckedContinuation<Void, Never>])>((false, []))

    private init(_ answer: @escaping Answer) { self.answer = answer }

    /// What was asked so far.
    var requests: [Asked] { asked.withLock { $0 } }
    var port: Int { boundPort.withLock { $0 } }

    /// Whether the test is over.
    var isOver: Bool { hanging.withLock(\.isOver) }

    /// Waits until the test is over.
    func hang() async {
        await withCheckedContinuation { continuation in
            let isOver = hanging.withLock { hanging in
                if !hanging.isOver { hanging.waiting.append(continuation) }
                return hanging.isOver
            }
            if isOver { continuation.resume() }
        }
    }

    private func end() {
        let waiting = hanging.withLock { hanging in
            defer { hanging = (true, []) }
            return hanging.waiting
        }
        for continuation in waiting { continuation.resume() }
    }

    func url(_ path: String, host: String = "127.0.0.1", user: String = "") -> String {
        "http://\(user)\(host):\(port)\(path)"
    }

    func source(_ path: String, every: Duration? = nil) throws -> RemoteSource {
        try RemoteSource(url: url(path), name: path, every: every)
    }

    /// Runs a server as long as a closure.
    static func run(
        _ answer: @escaping Answer,
        _ body: @escaping @Sendable (FeedServer) async throws -> Void
    ) async throws {
        let server = FeedServer(answer)
        let responder = CallbackResponder<BasicRequestContext> { request, _ in
            let asked = Asked(
                path: request.uri.string,
                authority: request.head.authority ?? "",
                headers: request.headers,
                server: server
            )
            server.asked.withLock { $0.append(asked) }
            return try await server.answer(asked)
        }
        let app = Application(
            responder: responder,
            configuration: .init(address: .hostname("127.0.0.1", port: 0)),
            logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }
        )
        try await app.test(.live) { client in
            defer { server.end() }
            server.boundPort.withLock { $0 = client.port ?? 0 }
            try await body(server)
        }
    }

    static func response(_ status: UInt = 200, _ headers: [String: String] = [:], body: [UInt8] = []) -> Response {
        var fields = HTTPFields()
        for (name, value) in headers {
            if let name = HTTPField.Name(name) { fields[name] = value }
        }
        return Response(
            status: .init(code: Int(status)),
            headers: fields,
            body: ResponseBody(byteBuffer: ByteBuffer(bytes: body))
        )
    }

    static func feed(_ ids: [String], _ headers: [String: String] = [:]) -> Response {
        let items = ids.map { "<item><guid>\($0)</guid><title>Title of \($0)</title></item>" }.joined()
        return response(200, headers, body: Array("<rss><channel>\(items)</channel></rss>".utf8))
    }
}

/// Gzip made by hand, so that a test decides what is in it.
enum Gzip {
    private static let header: [UInt8] = [0x1F, 0x8B, 8, 0, 0, 0, 0, 0, 0, 255]

    /// Bytes without compression, in one stored block.
    static func stored(_ bytes: [UInt8]) -> [UInt8] {
        let size = UInt16(bytes.count)
        return header + [1] + little(size) + little(~size) + bytes + little(crc(bytes)) + little(UInt32(bytes.count))
    }

    /// A stream that swells to about 258 bytes for each 13 bits: a zero, repeated and repeated.
    static func bomb(_ repetitions: Int) -> [UInt8] {
        var bits: [Bool] = []
        let add = { (code: UInt32, count: Int, bits: inout [Bool]) in
            for shift in (0..<count).reversed() { bits.append(code >> UInt32(shift) & 1 == 1) }
        }
        bits += [true, true, false]  // the last block, with the fixed codes
        add(0b0011_0000, 8, &bits)
        for _ in 0..<repetitions { add(0b1100_0101 << 5, 13, &bits) }
        add(0, 7, &bits)
        var bytes: [UInt8] = []
        for start in stride(from: 0, to: bits.count, by: 8) {
            bytes.append(
                (0..<8).reduce(UInt8(0)) { $0 | (start + $1 < bits.count && bits[start + $1] ? 1 << UInt8($1) : 0) }
            )
        }
        return header + bytes + [0, 0, 0, 0, 0, 0, 0, 0]
    }

    private static func little(_ value: some FixedWidthInteger) -> [UInt8] {
        withUnsafeBytes(of: value.littleEndian, Array.init)
    }

    private static func crc(_ bytes: [UInt8]) -> UInt32 {
        var crc = ~UInt32(0)
        for byte in bytes {
            crc ^= UInt32(byte)
            for _ in 0..<8 {
                let isOdd = crc & 1 == 1
                crc >>= 1
                if isOdd { crc ^= 0xEDB8_8320 }
            }
        }
        return ~crc
    }
}

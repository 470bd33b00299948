import NIOCore
import NIOPosix
import Synchronization
import TestSupport

/// A server on loopback that sends back what it gets, each piece as it comes, and remembers what it saw.
final class EchoServer: Sendable {
    let port: Int
    let notes: PeerNotes
    private let listener: any Channel

    private init(port: Int, notes: PeerNotes, listener: any Channel) {
        self.port = port
        self.notes = notes
        self.listener = listener
    }

    static func start() async throws -> EchoServer {
        let notes = PeerNotes()
        let listener = try await ServerBootstrap(group: MultiThreadedEventLoopGroup.singleton)
            .childChannelOption(.allowRemoteHalfClosure, value: true)
            .childChannelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    try channel.pipeline.syncOperations.addHandler(PeerHandler(notes: notes, isEcho: true))
                }
            }
            .bind(host: "127.0.0.1", port: 0).get()
        return EchoServer(port: listener.localAddress?.port ?? 0, notes: notes, listener: listener)
    }

    func close() async { try? await listener.close() }
}

/// A plain client that remembers what it saw.
struct PlainClient: Sendable {
    let notes: PeerNotes
    private let channel: any Channel

    static func connect(_ port: Int) async throws -> PlainClient {
        let notes = PeerNotes()
        let channel = try await ClientBootstrap(group: MultiThreadedEventLoopGroup.singleton)
            .channelOption(.allowRemoteHalfClosure, value: true)
            .channelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    try channel.pipeline.syncOperations.addHandler(PeerHandler(notes: notes, isEcho: false))
                }
            }
            .connect(host: "127.0.0.1", port: port).get()
        return PlainClient(notes: notes, channel: channel)
    }

    func send(_ bytes: [UInt8]) async throws { try await channel.writeAndFlush(ByteBuffer(bytes: bytes)) }

    func send(_ text: String) async throws { try await send(Array(text.utf8)) }

    /// Ends its own direction.
    func finish() async throws { try await channel.close(mode: .output) }

    func close() async { try? await channel.close() }

    /// Whether it gets these bytes in time, and no others before.
    func gets(_ text: String, within limit: Duration = .seconds(5)) async throws -> Bool {
        try await eventually(within: limit) { notes.text == text }
    }
}

/// What one side of a connection has seen.
final class PeerNotes: Sendable {
    private struct State {
        var bytes: [UInt8] = []
        var connections = 0
        var ended = 0
        var closed = 0
        var errors = 0
    }

    private let state = Mutex(State())

    var bytes: [UInt8] { state.withLock { $0.bytes } }
    var text: String { String(decoding: bytes, as: UTF8.self) }
    /// Connections that were made.
    var connections: Int { state.withLock { $0.connections } }
    /// Connections whose other side sends nothing more.
    var ended: Int { state.withLock { $0.ended } }
    /// Connections that are gone.
    var closed: Int { state.withLock { $0.closed } }
    /// Connections that broke.
    var errors: Int { state.withLock { $0.errors } }

    fileprivate func add(_ buffer: ByteBuffer) { state.withLock { $0.bytes += buffer.readableBytesView } }
    fileprivate func connect() { state.withLock { $0.connections += 1 } }
    fileprivate func end() { state.withLock { $0.ended += 1 } }
    fileprivate func close() { state.withLock { $0.closed += 1 } }
    fileprivate func fail() { state.withLock { $0.errors += 1 } }
}

private final class PeerHandler: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer

    private let notes: PeerNotes
    private let isEcho: Bool

    init(notes: PeerNotes, isEcho: Bool) {
        self.notes = notes
        self.isEcho = isEcho
    }

    func channelActive(context: ChannelHandlerContext) { notes.connect() }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        notes.add(unwrapInboundIn(data))
        if isEcho { context.writeAndFlush(data, promise: nil) }
    }

    func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        guard event as? ChannelEvent == .inputClosed else { return }
        notes.end()
        // Neither has anything more to say to a side that is gone.
        context.close(promise: nil)
    }

    func channelInactive(context: ChannelHandlerContext) { notes.close() }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        notes.fail()
        context.close(promise: nil)
    }
}

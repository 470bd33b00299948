import Messaging
import MessagingConformance
import NIOCore
import NIOPosix

/// A proxy on loopback that can break TCP connections in every way that matters to a client of a broker.
///
/// It knows no protocol, so that one proxy serves every broker. At most one read of each direction of each connection is
/// in memory, and nothing about it is random: what a fault does is decided by bytes alone.
public final class TCPFaultProxy: FaultProxy {
    /// How many connections it takes at once; more are reset.
    public static let maxConnections = 512

    /// The port on 127.0.0.1 that clients connect to.
    public let port: Int
    private let core: NIOLoopBound<ProxyCore>
    private let eventLoop: any EventLoop
    private let listener: any Channel

    private init(port: Int, core: NIOLoopBound<ProxyCore>, eventLoop: any EventLoop, listener: any Channel) {
        self.port = port
        self.core = core
        self.eventLoop = eventLoop
        self.listener = listener
    }

    /// Starts a proxy on a free port.
    ///
    /// - Parameters:
    ///   - port: The port of the broker on 127.0.0.1, which need not listen yet.
    ///   - group: The event loops that carry the connections; the process's shared ones by default. One of them is used.
    /// - Returns: The proxy; close it when done.
    /// - Throws: `QueueError` with the code `unavailable` when no port can be had.
    public static func start(
        to port: Int,
        on group: any EventLoopGroup = MultiThreadedEventLoopGroup.singleton
    ) async throws(QueueError) -> TCPFaultProxy {
        let eventLoop = group.next()
        do {
            let target = try SocketAddress(ipAddress: "127.0.0.1", port: port)
            let core = try await eventLoop.submit {
                NIOLoopBound(ProxyCore(eventLoop: eventLoop, target: target), eventLoop: eventLoop)
            }.get()
            // Connections stay on the one loop, which keeps all that is shared.
            let listener = try await ServerBootstrap(group: eventLoop, childGroup: eventLoop)
                .serverChannelOption(.socketOption(.so_reuseaddr), value: 1)
                .serverChannelOption(.backlog, value: 256)
                .childChannelOption(.autoRead, value: false)
                .childChannelOption(.allowRemoteHalfClosure, value: true)
                .childChannelOption(.tcpOption(.tcp_nodelay), value: 1)
                .childChannelInitializer { channel in
                    channel.eventLoop.makeCompletedFuture { try core.value.accept(channel) }
                }
                .bind(host: "127.0.0.1", port: 0).get()
            guard let bound = listener.localAddress?.port else {
                listener.close(promise: nil)
                throw QueueError(.unavailable, "the proxy has no port")
            }
            return TCPFaultProxy(port: bound, core: core, eventLoop: eventLoop, listener: listener)
        } catch let error as QueueError {
            throw error
        } catch {
            throw QueueError(.unavailable, "the proxy cannot listen on 127.0.0.1: \(error)", underlying: error)
        }
    }

    /// Lets a fault happen from now on, on the connections that are open and on new ones; it ends the one before.
    ///
    /// - Parameter fault: The fault.
    /// - Throws: What the event loop throws when it has been shut down.
    public func apply(_ fault: ProxyFault) async throws { try await perform { $0.apply(fault) } }

    /// Returns what has passed.
    ///
    /// - Returns: The figures since the proxy was started.
    /// - Throws: As ``apply(_:)``.
    public func traffic() async throws -> ProxyTraffic { try await perform { $0.traffic } }

    /// Resets every connection that is open.
    ///
    /// - Throws: As ``apply(_:)``.
    public func resetConnections() async throws { try await perform { $0.resetAll() } }

    /// Stops listening and resets every connection; returns when the port is free.
    public func close() async {
        try? await listener.close()
        try? await perform { $0.resetAll() }
    }

    private func perform<Value: Sendable>(_ body: @escaping @Sendable (ProxyCore) -> Value) async throws -> Value {
        let core = core
        return try await eventLoop.submit { body(core.value) }.get()
    }
}

import MessagingConformance
import NIOCore
import NIOPosix

#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#elseif canImport(Darwin)
import Darwin
#endif

/// A client's connection and the one to the broker that belongs to it; used on the event loop only.
///
/// Each direction reads once, passes that on, and reads again when it has been written: there is never more of it in
/// memory than one read.
final class ProxyLink {
    /// What one direction is doing.
    private struct Lane {
        /// What was read and is held back.
        var held: ByteBuffer?
        /// Whether the sender has ended, and the receiver was not told yet.
        var hasEnded = false
        /// Whether the receiver was told.
        var isEndTold = false
        /// Whether something is being passed on.
        var isBusy = false
    }

    private let core: ProxyCore
    private let client: any Channel
    private var broker: (any Channel)?
    private var lanes: [FaultDirection: Lane] = [.requests: Lane(), .replies: Lane()]
    private var isOver = false
    /// Whether bytes were thrown away; TCP loses none in the middle, so nothing may follow them.
    private var hasLost = false
    /// Whether the client has sent nothing since the broker last did.
    private var isNewRequest = true

    init(core: ProxyCore, client: any Channel) {
        self.core = core
        self.client = client
    }

    private func source(_ direction: FaultDirection) -> (any Channel)? { direction == .requests ? client : broker }
    private func sink(_ direction: FaultDirection) -> (any Channel)? { direction == .requests ? broker : client }

    /// The connection to the broker is there.
    func connected(_ broker: any Channel) {
        guard !isOver else { return Self.reset(broker) }
        self.broker = broker
        for direction in FaultDirection.allCases { readMore(direction) }
    }

    // MARK: - What comes

    /// Bytes of a direction have come.
    func received(_ buffer: ByteBuffer, _ direction: FaultDirection) {
        guard !isOver else { return }
        // A read may bring several pieces at once.
        if lanes[direction]?.isBusy == true || lanes[direction]?.held != nil {
            var buffer = buffer
            lanes[direction]?.held.setOrAppend(&buffer)
            return
        }
        pass(buffer, direction)
    }

    /// The sender of a direction sends nothing more.
    func ended(_ direction: FaultDirection) {
        lanes[direction]?.hasEnded = true
        tellEnd(direction)
    }

    /// One of the connections is gone, both ways.
    func inactive(_ direction: FaultDirection) {
        lanes[direction]?.hasEnded = true
        guard !core.isSilent(direction) else { return }
        // What is on its way to the other side still gets there.
        if lanes[direction]?.isBusy == true { return }
        reset()
    }

    // MARK: - What goes

    private func pass(_ buffer: ByteBuffer, _ direction: FaultDirection) {
        guard sink(direction) != nil else {
            lanes[direction]?.held = buffer
            return
        }
        switch core.judge(direction, buffer.readableBytes) {
        case .forward: write(buffer, direction)
        case .discard:
            hasLost = true
            readMore(direction)
        case .hold: lanes[direction]?.held = buffer
        case .delay(let time):
            lanes[direction]?.isBusy = true
            let bound = NIOLoopBound(self, eventLoop: core.eventLoop)
            core.eventLoop.scheduleTask(in: time) { bound.value.write(buffer, direction) }
        case .cut(let count):
            var buffer = buffer
            write(buffer.readSlice(length: min(count, buffer.readableBytes)) ?? ByteBuffer(), direction, isLast: true)
        }
    }

    private func write(_ buffer: ByteBuffer, _ direction: FaultDirection, isLast: Bool = false) {
        guard !isOver, let sink = sink(direction) else { return }
        guard buffer.readableBytes > 0 else {
            lanes[direction]?.isBusy = false
            if isLast { core.resetAll() }
            return
        }
        core.count(direction, buffer.readableBytes, isNewRequest: direction == .requests && isNewRequest)
        isNewRequest = direction == .replies
        lanes[direction]?.isBusy = true
        let bound = NIOLoopBound(self, eventLoop: core.eventLoop)
        sink.writeAndFlush(buffer).whenComplete { result in bound.value.written(result, direction, isLast: isLast) }
    }

    private func written(_ result: Result<Void, any Error>, _ direction: FaultDirection, isLast: Bool) {
        lanes[direction]?.isBusy = false
        if isLast { return core.resetAll() }
        guard case .success = result else {
            if !core.isSilent(direction) { reset() }
            return
        }
        if let next = lanes[direction]?.held.take() { return pass(next, direction) }
        if lanes[direction]?.hasEnded == true { tellEnd(direction) }
        readMore(direction)
    }

    /// Goes on with what was held back, when the fault has changed.
    func resume() {
        if hasLost, !core.isDropping { return reset() }
        for direction in FaultDirection.allCases where !isOver {
            guard lanes[direction]?.isBusy == false else { continue }
            if let held = lanes[direction]?.held.take() {
                pass(held, direction)
            } else if lanes[direction]?.hasEnded == true {
                tellEnd(direction)
            }
        }
    }

    private func readMore(_ direction: FaultDirection) {
        guard !isOver, lanes[direction]?.hasEnded == false else { return }
        source(direction)?.read()
    }

    // MARK: - The end

    /// Lets a direction end although its sender goes on.
    func end(_ direction: FaultDirection) {
        lanes[direction]?.hasEnded = true
        tellEnd(direction)
    }

    private func tellEnd(_ direction: FaultDirection) {
        guard !isOver, !core.isSilent(direction), let lane = lanes[direction], lane.held == nil, !lane.isBusy,
            !lane.isEndTold, let sink = sink(direction)
        else { return }
        lanes[direction]?.isEndTold = true
        // Where the sender is gone for good, there is nothing to wait for.
        if source(direction)?.isActive == false || lanes.values.allSatisfy(\.hasEnded) {
            close()
        } else {
            sink.close(mode: .output, promise: nil)
        }
    }

    /// Ends both connections in order.
    private func close() {
        guard !isOver else { return }
        isOver = true
        client.close(promise: nil)
        broker?.close(promise: nil)
        core.remove(self)
    }

    /// Ends both connections at once, without a goodbye.
    func reset() {
        guard !isOver else { return }
        isOver = true
        Self.reset(client)
        if let broker { Self.reset(broker) }
        core.remove(self)
    }

    /// Ends a connection with RST instead of FIN.
    static func reset(_ channel: any Channel) {
        guard let socket = channel as? any SocketOptionProvider else { return channel.close(promise: nil) }
        socket.setSoLinger(linger(l_onoff: 1, l_linger: 0)).whenComplete { _ in channel.close(promise: nil) }
    }
}

/// Tells a link what comes from one of its connections.
final class ProxyHandler: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer

    private let link: ProxyLink
    private let direction: FaultDirection

    init(link: ProxyLink, direction: FaultDirection) {
        self.link = link
        self.direction = direction
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) { link.received(unwrapInboundIn(data), direction) }

    func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        if event as? ChannelEvent == .inputClosed { link.ended(direction) }
        context.fireUserInboundEventTriggered(event)
    }

    func channelInactive(context: ChannelHandlerContext) {
        link.inactive(direction)
        context.fireChannelInactive()
    }

    // The end that follows tells the link.
    func errorCaught(context: ChannelHandlerContext, error: any Error) { context.close(promise: nil) }
}

extension ByteBuffer? {
    fileprivate mutating func setOrAppend(_ buffer: inout ByteBuffer) {
        if self == nil { self = buffer } else { self?.writeBuffer(&buffer) }
    }
}

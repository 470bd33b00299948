import MessagingConformance
import NIOCore
import NIOPosix

/// What all connections of a proxy share; used on its event loop only.
final class ProxyCore {
    let eventLoop: any EventLoop
    private let target: SocketAddress
    private(set) var fault = ProxyFault.none
    private(set) var traffic = ProxyTraffic()
    private var links: [ObjectIdentifier: ProxyLink] = [:]

    init(eventLoop: any EventLoop, target: SocketAddress) {
        self.eventLoop = eventLoop
        self.target = target
    }

    // MARK: - Connections

    /// Takes a client, and connects it with the broker.
    func accept(_ client: any Channel) throws {
        traffic.connections += 1
        guard fault != .refuse, links.count < TCPFaultProxy.maxConnections else { return ProxyLink.reset(client) }
        let link = ProxyLink(core: self, client: client)
        links[ObjectIdentifier(link)] = link
        traffic.open = links.count
        try client.pipeline.syncOperations.addHandler(ProxyHandler(link: link, direction: .requests))
        let bound = NIOLoopBound((core: self, link: link), eventLoop: eventLoop)
        ClientBootstrap(group: eventLoop)
            .channelOption(.autoRead, value: false)
            .channelOption(.allowRemoteHalfClosure, value: true)
            .channelOption(.tcpOption(.tcp_nodelay), value: 1)
            .connectTimeout(.seconds(10))
            .channelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    let link = bound.value.link
                    try channel.pipeline.syncOperations.addHandler(ProxyHandler(link: link, direction: .replies))
                }
            }
            .connect(to: target)
            .whenComplete { result in
                switch result {
                case .success(let broker): bound.value.link.connected(broker)
                // Nobody listens there: the client is to see that.
                case .failure: bound.value.link.reset()
                }
            }
    }

    /// Forgets a connection that is over.
    func remove(_ link: ProxyLink) {
        links[ObjectIdentifier(link)] = nil
        traffic.open = links.count
    }

    func resetAll() {
        for link in Array(links.values) { link.reset() }
    }

    // MARK: - Faults

    func apply(_ fault: ProxyFault) {
        self.fault = fault
        switch fault {
        case .refuse: resetAll()
        case .halfClose(let direction):
            for link in Array(links.values) { link.end(direction) }
        case .none, .cut, .drop, .silence, .delay: break
        }
        // What was held back goes on, or meets the new fault.
        for link in Array(links.values) { link.resume() }
    }

    /// What is done with bytes that have come.
    enum Verdict {
        case forward
        case discard
        case hold
        case delay(TimeAmount)
        /// So many of them pass, and then everything is reset.
        case cut(Int)
    }

    /// Decides about bytes of one direction.
    func judge(_ direction: FaultDirection, _ count: Int) -> Verdict {
        switch fault {
        case .none, .halfClose: return .forward
        case .refuse: return .cut(0)
        case .drop(direction): return .discard
        case .drop: return .forward
        case .silence(let directions): return directions.contains(direction) ? .hold : .forward
        case .delay(let time): return .delay(.nanoseconds(time.nanoseconds))
        case .cut(direction, let left):
            guard count >= left else {
                fault = .cut(direction, after: left - count)
                return .forward
            }
            fault = .none
            traffic.cuts += 1
            return .cut(max(0, left))
        case .cut: return .forward
        }
    }

    /// Whether nothing of a direction passes at the moment, not even an end.
    func isSilent(_ direction: FaultDirection) -> Bool {
        if case .silence(let directions) = fault { directions.contains(direction) } else { false }
    }

    /// Whether bytes are thrown away at the moment.
    var isDropping: Bool { if case .drop = fault { true } else { false } }

    /// Counts bytes that are passed on.
    func count(_ direction: FaultDirection, _ bytes: Int, isNewRequest: Bool) {
        switch direction {
        case .requests:
            traffic.requestBytes += bytes
            if isNewRequest { traffic.requests += 1 }
        case .replies: traffic.replyBytes += bytes
        }
    }
}

extension Duration {
    /// The time in whole nanoseconds, at most what 64 bits hold.
    fileprivate var nanoseconds: Int64 {
        let (seconds, attoseconds) = components
        let (product, overflow) = seconds.multipliedReportingOverflow(by: 1_000_000_000)
        return overflow ? .max : product + attoseconds / 1_000_000_000
    }
}

/// One of the two ways that bytes go between a client and its broker.
public enum FaultDirection: String, Sendable, Hashable, CaseIterable, Codable {
    /// From the client to the broker.
    case requests
    /// From the broker to the client.
    case replies
}

/// What happens to the bytes between clients and their broker.
public enum ProxyFault: Sendable, Hashable {
    /// They pass.
    case none
    /// So many more bytes of one direction pass, counted over all connections; with the last of them every connection is
    /// reset, and everything passes again.
    case cut(FaultDirection, after: Int)
    /// The bytes of one direction are thrown away. The connections stay; those that lost something are reset when the
    /// fault ends, as nothing that a broker says may follow a gap.
    case drop(FaultDirection)
    /// Nothing passes, not even the end of a connection, and nothing is thrown away: it passes when the silence is over.
    case silence(Set<FaultDirection>)
    /// Everything passes so much later.
    case delay(Duration)
    /// One direction of the connections that are open ends; what comes later passes.
    case halfClose(FaultDirection)
    /// Connections are reset, and new ones as soon as they are made.
    case refuse
}

/// What has passed a proxy since it was started.
public struct ProxyTraffic: Sendable, Hashable {
    /// Bytes that went from clients to the broker.
    public var requestBytes: Int
    /// Bytes that went from the broker to clients.
    public var replyBytes: Int
    /// How often a client began to send: at first, or after something had come from the broker.
    public var requests: Int
    /// Connections that clients have made.
    public var connections: Int
    /// Connections that are open.
    public var open: Int
    /// How often a cut has been made.
    public var cuts: Int

    /// Creates figures.
    ///
    /// - Parameters:
    ///   - requestBytes: Bytes that went from clients to the broker.
    ///   - replyBytes: Bytes that went from the broker to clients.
    ///   - requests: How often a client began to send.
    ///   - connections: Connections that clients have made.
    ///   - open: Connections that are open.
    ///   - cuts: How often a cut has been made.
    public init(
        requestBytes: Int = 0,
        replyBytes: Int = 0,
        requests: Int = 0,
        connections: Int = 0,
        open: Int = 0,
        cuts: Int = 0
    ) {
        self.requestBytes = requestBytes
        self.replyBytes = replyBytes
        self.requests = requests
        self.connections = connections
        self.open = open
        self.cuts = cuts
    }
}

/// Something between clients and their broker that can break what they say to each other.
///
/// `MessagingConformanceFaults` has one for TCP, which knows no protocol and therefore serves every broker.
public protocol FaultProxy: Sendable {
    /// Lets a fault happen from now on, on the connections that are open and on new ones; it ends the one before.
    ///
    /// - Parameter fault: The fault.
    /// - Throws: What keeps the proxy from working.
    func apply(_ fault: ProxyFault) async throws

    /// Returns what has passed.
    ///
    /// - Returns: The figures since the proxy was started.
    /// - Throws: What keeps the proxy from working.
    func traffic() async throws -> ProxyTraffic

    /// Resets every connection that is open.
    ///
    /// - Throws: What keeps the proxy from working.
    func resetConnections() async throws
}

import Messaging

/// What the cases of the fault tier need beside a harness: ways to break what is between client and broker, the broker
/// and clients.
///
/// Everything is optional. What an environment cannot do throws ``NotPossible``, and the cases that need it are then not
/// possible there, with that reason.
public protocol FaultControl: Sendable {
    /// How long a client of ``makeQueue()`` takes at most to notice that its broker does not answer.
    var patience: Duration { get }
    /// How long a consumer whose process has died may stay registered.
    var registrationLimit: Duration { get }
    /// How long `fault.chaos` goes on.
    var chaosTime: Duration { get }
    /// The seed of `fault.chaos`; `nil` draws one, which a failure names.
    var chaosSeed: UInt64? { get }

    /// What is between the clients of ``makeQueue()`` and the broker.
    ///
    /// - Returns: The proxy.
    /// - Throws: ``NotPossible``.
    func proxy() async throws -> any FaultProxy

    /// Returns a further client, one that reaches the broker through the proxy, with deadlines as ``patience`` says.
    ///
    /// - Returns: The client.
    /// - Throws: ``NotPossible``; what keeps it from being made.
    func makeQueue() async throws -> any MessageQueue

    /// Does something to the broker, and returns when it is done.
    ///
    /// - Parameter change: What to do.
    /// - Throws: ``NotPossible``; why it could not be done.
    func broker(_ change: BrokerChange) async throws

    /// Starts a child program on the broker.
    ///
    /// - Parameter job: What the child does.
    /// - Returns: The child.
    /// - Throws: ``NotPossible``; why it could not be started.
    func startChild(_ job: FaultChildJob) async throws -> any FaultChild
}

/// What can be done to a broker.
public enum BrokerChange: Sendable, Hashable {
    /// It is asked to stop; it is gone when that returns.
    case stop
    /// It is killed without a warning.
    case kill
    /// It is started again on the same address with the data that it had; it answers when that returns.
    case start
    /// It hangs: it keeps its connections and does nothing.
    case pause
    /// It goes on.
    case resume
    /// It takes nothing that is new: read-only, out of memory or of space.
    case refuseWrites
    /// It takes what is new again.
    case acceptWrites
}

extension FaultControl {
    /// A minute.
    public var registrationLimit: Duration { .seconds(60) }
    /// Twenty seconds.
    public var chaosTime: Duration { .seconds(20) }

    /// Draws one.
    public var chaosSeed: UInt64? { nil }

    /// There is none, by default.
    ///
    /// - Returns: Never.
    /// - Throws: ``NotPossible``.
    public func proxy() async throws -> any FaultProxy {
        throw NotPossible("there is no proxy between the clients and the broker")
    }

    /// It cannot be done, by default.
    ///
    /// - Parameter change: What to do.
    /// - Throws: ``NotPossible``.
    public func broker(_ change: BrokerChange) async throws {
        throw NotPossible("the broker cannot be stopped, killed or filled here")
    }

    /// There is none, by default.
    ///
    /// - Parameter job: What the child does.
    /// - Returns: Never.
    /// - Throws: ``NotPossible``.
    public func startChild(_ job: FaultChildJob) async throws -> any FaultChild {
        throw NotPossible("there is no child program")
    }
}

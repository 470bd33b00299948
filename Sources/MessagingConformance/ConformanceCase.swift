import Messaging

/// One law of the contract with the check that every backend must pass, in no test framework's terms.
///
/// A check publishes and consumes on queues of its own through clients that the harness makes, and throws
/// ``ConformanceFailure`` when the law is broken. It can be run again on the same broker, and beside others.
public struct ConformanceCase: Sendable, CustomStringConvertible {
    /// The part of the contract that a case belongs to.
    public enum Family: String, Sendable, Hashable, CaseIterable, Codable {
        /// A message comes as it was published.
        case fidelity
        /// What the outcome of publishing says is true.
        case publishing
        /// Deliveries end as asked, once.
        case settlement
        /// A delivery belongs to one consumer at a time.
        case leases
        /// Retries, delays and schedules come when they are due.
        case retries
        /// What is given up is kept with its reason.
        case deadLetters = "dead-letters"
        /// Keys keep their order, and consumers get what they asked for.
        case ordering
        /// Each group gets everything, from where it began.
        case groups
        /// Consumers and clients that are closed leave nothing behind.
        case lifecycle
        /// Figures and settings tell the truth.
        case figures
    }

    /// How much a case costs, and what it does to the broker.
    public enum Tier: String, Sendable, Hashable, CaseIterable, Comparable, Codable {
        /// A few seconds at most.
        case quick
        /// Up to a minute: many messages, long waits, many clients.
        case full
        /// Needs a broker that may be cut off, stopped and killed.
        case fault
        /// Minutes of random work.
        case soak

        /// Tells whether a tier costs less than another one.
        ///
        /// - Parameters:
        ///   - left: The one tier.
        ///   - right: The other one.
        /// - Returns: Whether `left` comes before `right`.
        public static func < (left: Tier, right: Tier) -> Bool { left.rank < right.rank }

        private var rank: Int {
            switch self {
            case .quick: 0
            case .full: 1
            case .fault: 2
            case .soak: 3
            }
        }
    }

    /// The stable id, such as `lease.fence`.
    public let id: String
    /// The part of the contract that it belongs to.
    public let family: Family
    /// How much it costs.
    public let tier: Tier
    /// The law in one line.
    public let law: String
    /// What a backend must be able to do for the law to apply.
    public let requires: [Capabilities.Feature]
    /// Whether it measures the process, so that nothing else should run in it meanwhile.
    public let isAlone: Bool
    private let check: @Sendable (any ConformanceHarness) async throws -> Void

    init(
        _ id: String,
        _ family: Family,
        _ law: String,
        tier: Tier = .quick,
        requires: [Capabilities.Feature] = [],
        isAlone: Bool = false,
        check: @escaping @Sendable (any ConformanceHarness) async throws -> Void
    ) {
        self.id = id
        self.family = family
        self.tier = tier
        self.law = law
        self.requires = requires
        self.isAlone = isAlone
        self.check = check
    }

    /// The id.
    public var description: String { id }

    /// Checks a backend, and closes every client that the check has opened.
    ///
    /// What the clients did and were told is recorded; once the check has succeeded, the laws that every history keeps are
    /// judged as well: nothing lost, nothing twice, nothing after its end.
    ///
    /// - Parameter harness: The backend.
    /// - Throws: ``ConformanceFailure`` when the law is broken, and whatever keeps the check from being made.
    public func run(on harness: some ConformanceHarness) async throws { try await run(on: harness, CaseWatch()) }

    /// Checks a backend where somebody watches what the check waits for.
    ///
    /// A machine that was too busy for the unit of time has shown nothing, so the unit is doubled, twice at most. What
    /// failed in time is never tried again.
    func run(on harness: any ConformanceHarness, _ watch: CaseWatch) async throws {
        for factor in [1, 2, 4] {
            let clients = HarnessClients(harness, slowedBy: factor)
            watch.watch(clients)
            let result: Result<Void, any Error>
            do {
                try await check(clients)
                result = .success(try await clients.checkHistory())
            } catch {
                result = .failure(error)
            }
            await clients.close()
            guard case .failure(let slow as TooSlow) = result else { return try result.get() }
            if factor == 4 { throw NotPossible("the machine is too busy: \(slow)") }
        }
    }
}

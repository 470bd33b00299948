/// The suite that decides what "a `MessageQueue`" means.
///
/// Conform one type to ``ConformanceHarness`` and run ``all`` in a parameterised test, or make a ``ConformanceRunner`` of it and
/// keep its report. New cases arrive with a new version; their ids never change.
public enum Conformance {
    /// Every case.
    public static let all: [ConformanceCase] =
        fidelity + publishing + settlement + leases + retries + deadLetters + ordering + groups + lifecycle + figures
        + positions + transfers + keyedTransfers + idling + twins + limits + abandoning + flows + draining + closing
        + deadLetterTraffic
        + honesty
        + faults

    /// The cases up to a tier.
    ///
    /// - Parameter tier: The most expensive one that is wanted.
    /// - Returns: The cases, in the order of ``all``.
    public static func cases(upTo tier: ConformanceCase.Tier) -> [ConformanceCase] { all.filter { $0.tier <= tier } }

    /// Finds a case.
    ///
    /// - Parameter id: Its id.
    /// - Returns: The case; `nil` when there is none of that id.
    public static func find(_ id: String) -> ConformanceCase? { all.first { $0.id == id } }
}

extension Conformance {
    /// The cases that break something: connections, clients, the broker.
    ///
    /// They are not possible on a harness without ``ConformanceHarness/faults``.
    static let faults: [ConformanceCase] = faultsInPublishing + faultsOfClients + faultsOfDeadLetters + faultsOfBrokers
}

/// What became of one case on one backend.
public struct CaseResult: Sendable, Hashable, Codable, CustomStringConvertible {
    /// How a case can end.
    public enum Outcome: String, Sendable, Hashable, CaseIterable, Codable {
        /// The law holds.
        case passed
        /// The law is broken, or could not be checked although it should have been.
        case failed
        /// The backend says that it cannot do what the law is about, and refuses it honestly.
        case unsupported
        /// This environment cannot check it: no broker to kill, no proxy, no child program.
        case notPossible = "not-possible"
        /// The law is broken and that is known; a case that is marked so and passes has failed.
        case knownFailure = "known-failure"
    }

    /// The id of the case.
    public let id: String
    /// The part of the contract that it belongs to.
    public let family: ConformanceCase.Family
    /// How much it costs.
    public let tier: ConformanceCase.Tier
    /// The law in one line.
    public let law: String
    /// How it ended.
    public let outcome: Outcome
    /// Why, unless it passed.
    public let reason: String?
    /// How long it took, in seconds.
    public let seconds: Double

    /// The case, how it ended and why, in one line.
    public var description: String { "\(id): \(outcome.rawValue)\(reason.map { ", \($0)" } ?? "")" }

    init(_ law: ConformanceCase, _ outcome: Outcome, reason: String?, seconds: Double) {
        id = law.id
        family = law.family
        tier = law.tier
        self.law = law.law
        self.outcome = outcome
        self.reason = reason
        self.seconds = seconds
    }
}

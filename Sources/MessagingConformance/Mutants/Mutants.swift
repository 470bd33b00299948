/// The mutants: at least one for every law, so that a case that cannot fail is found.
///
/// A new case needs a mutant that names it; the tests of this package say so.
public enum Mutants {
    /// A queue that breaks nothing, which every case must pass.
    public static let none = Mutant("none", "nothing", killedBy: []) { _ in }

    /// Every mutant.
    public static let all: [Mutant] =
        fidelity + publishing + settlement + leases + retries + deadLetters + ordering + groups + lifecycle + figures
        + answers + faults

    /// Finds a mutant.
    ///
    /// - Parameter id: Its id.
    /// - Returns: The mutant; `nil` when there is none of that id.
    public static func find(_ id: String) -> Mutant? { all.first { $0.id == id } }

    /// The mutants that a case must fail on.
    ///
    /// - Parameter caseID: The id of the case.
    /// - Returns: Those that name it.
    public static func killed(by caseID: String) -> [Mutant] { all.filter { $0.killedBy.contains(caseID) } }
}

import Messaging

extension Mutants {
    /// Mutants that no case sees yet: each is a check that is missing.
    ///
    /// One that a case kills belongs into ``all``, with that case named.
    public static let unseen: [Mutant] = [
        // The contract says that it goes, and not when.
        Mutant("stored-for-ever", "what every group has finished stays stored", killedBy: []) {
            $0.changeQueueFigures { figures in
                if let arrived = figures.arrived.value { figures.stored = .exact(arrived) }
            }
        },
        Mutant("letter-without-publication", "a dead letter does not say when it was published", killedBy: []) {
            $0.changeLetters { $0.hasPublication = false }
        },
    ]
}

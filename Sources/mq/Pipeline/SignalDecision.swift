/// What a running service does about a signal.
struct SignalDecision: Sendable {
    enum Action: Sendable, Equatable {
        /// Stop intake and finish what is running.
        case drain
        /// End the process now.
        case endNow
        /// Read the configuration file again.
        case reload
        /// It is too late or does not matter.
        case nothing
    }

    enum Kind: Sendable {
        case hangUp
        /// SIGINT or SIGTERM.
        case end
    }

    private(set) var isStopping = false

    /// Decides what a signal means now.
    mutating func received(_ kind: Kind) -> Action {
        switch kind {
        // Sources that are added while everything ends would never be read.
        case .hangUp: return isStopping ? .nothing : .reload
        case .end:
            defer { isStopping = true }
            return isStopping ? .endNow : .drain
        }
    }
}

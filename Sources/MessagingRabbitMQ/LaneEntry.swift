#if RabbitMQ
import Messaging

/// A message of a lane that is here.
struct LaneEntry: Sendable {
    /// Where a message stands.
    enum Step: Sendable, Equatable {
        /// What earlier consumers noted about it is not known yet.
        case unchecked
        /// An earlier message of its key is unfinished.
        case behind
        case ready
        /// It waits until its retry is due.
        case pausing(until: Duration)
        case held
        /// A copy of it is on its way.
        case settling
    }

    let lane: Int
    let tag: UInt64
    let arrived: Duration
    var wire: WireMessage
    var step: Step
    /// When it may be handed over at the earliest.
    var due: Duration?
    /// Whether its attempts may be over, so that it is handed over with a note only.
    var isSuspect = false
    /// Whether there are notes about it.
    var isNoted = false

    /// Whether somebody has it in hands, or something about it is under way.
    var isHeld: Bool {
        switch step {
        case .held, .settling, .unchecked: true
        case .behind, .ready, .pausing: false
        }
    }
}
#endif

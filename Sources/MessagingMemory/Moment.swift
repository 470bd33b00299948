import Messaging

#if canImport(FoundationEssentials)
import struct FoundationEssentials.Date
#else
import struct Foundation.Date
#endif

/// A moment by both clocks of the queue.
struct Moment: Sendable {
    var now: Duration
    var date: Date

    /// The moment when a deadline passed, which can be before this one.
    func at(_ deadline: Duration) -> Moment {
        Moment(now: deadline, date: date.addingTimeInterval(-(now - deadline).inSeconds))
    }
}

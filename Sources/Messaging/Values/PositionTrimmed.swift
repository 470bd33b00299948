#if canImport(FoundationEssentials)
import FoundationEssentials
#else
import Foundation
#endif

extension QueueError {
    /// Returns the error for a group that was to begin before what a queue certainly still holds.
    ///
    /// - Parameters:
    ///   - group: The group, which was not created.
    ///   - date: Where it was to begin.
    ///   - complete: The time from which the queue holds everything.
    ///   - queue: The queue.
    /// - Returns: The error, with the code `positionTrimmed`.
    public static func positionTrimmed(group: String, at date: Date, complete: Date, queue: String) -> QueueError {
        QueueError(
            .positionTrimmed,
            "group '\(group)' cannot begin at \(text(date)): messages have been removed, and only from \(text(complete)) on "
                + "are all of them kept; nothing was changed",
            queue: queue
        )
    }

    /// Any date can be asked for, also one that no calendar has.
    private static func text(_ date: Date) -> String {
        UnixTime.date(UnixTime.milliseconds(date)).formatted(Date.ISO8601FormatStyle(includingFractionalSeconds: true))
    }
}

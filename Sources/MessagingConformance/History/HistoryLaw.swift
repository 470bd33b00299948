import Messaging

/// What every history keeps, whatever the case was about.
package enum HistoryLaw: String, Sendable, CaseIterable {
    /// What comes was published.
    case phantom
    /// What comes has the body that was published.
    case body
    /// An id is a duplicate only of one that was published.
    case duplicate
    /// What was acknowledged, discarded, rejected or cancelled does not come again.
    case ended
    /// What was acknowledged is no dead letter, and what is one was not acknowledged.
    case exclusive
    /// Attempts begin at 1 and rise by one.
    case attempts
    /// One consumer of a group holds a message at a time.
    case holder
    /// A delivery is settled once, by who holds it.
    case fence
    /// Messages of a key come in the order in which they were published.
    case keyOrder = "key-order"
    /// Whatever was accepted is ready, in flight, delayed, dead or done.
    case conservation

    /// The law in one line.
    var text: String {
        switch self {
        case .phantom: "nothing comes that was not published"
        case .body: "a message comes with the body that was published"
        case .duplicate: "only an id that was published is a duplicate"
        case .ended: "what was acknowledged, discarded, rejected or cancelled does not come again"
        case .exclusive: "what was acknowledged is no dead letter"
        case .attempts: "attempts begin at 1 and rise by one"
        case .holder: "one consumer of a group holds a message at a time"
        case .fence: "a delivery is settled once, by who holds it"
        case .keyOrder: "messages of a key come in publish order"
        case .conservation: "what was accepted is ready, in flight, delayed, dead or done"
        }
    }
}

/// A law that a history breaks, with the ids that it is about and what happened to them.
package struct HistoryViolation: Error, Sendable, CustomStringConvertible {
    /// How many lines a minimal history has at most.
    static let maxLines = 40

    package let law: HistoryLaw
    package let queue: String
    package let ids: [MessageID]
    package let detail: String
    package let events: [String]

    /// The law, what broke it, and the events of the ids in order.
    package var description: String {
        var lines = ["history, \(law.rawValue) (\(law.text)): queue '\(queue)': \(detail)"]
        if !ids.isEmpty { lines.append("  ids: \(ids.prefix(10).map(\.rawValue).joined(separator: ", "))") }
        lines += events.prefix(Self.maxLines).map { "  \($0)" }
        if events.count > Self.maxLines { lines.append("  … and \(events.count - Self.maxLines) more") }
        return lines.joined(separator: "\n")
    }
}

import Messaging

/// What became of the publications of one process to the side that a queue goes to, lately: for one to two windows.
struct PublicationTally: Sendable {
    private let window: Duration
    private var side: String?
    private var begun: Duration = .zero
    private var count = PublicationCount()
    private var before = PublicationCount()

    init(window: Duration) { self.window = window }

    mutating func add(_ more: PublicationCount, to side: String, at now: Duration) {
        turn(to: side, at: now)
        count = count + more
    }

    mutating func lately(to side: String, at now: Duration) -> PublicationCount {
        turn(to: side, at: now)
        return count + before
    }

    private mutating func turn(to side: String, at now: Duration) {
        // What became of publications to another side says nothing of this one.
        if side != self.side || now - begun >= window * 2 {
            (self.side, begun, count, before) = (side, now, PublicationCount(), PublicationCount())
        } else if now - begun >= window {
            (begun, count, before) = (begun + window, PublicationCount(), count)
        }
    }

    /// What outcomes say of the side that gave them: that it is closed, or knows an id, is no failure of it.
    static func count(_ outcomes: [PublishOutcome]) -> PublicationCount {
        let failed = outcomes.count { outcome in
            guard let error = outcome.error else { return false }
            return error.code != .queueClosed && error.code != .idConflict
        }
        return PublicationCount(attempted: outcomes.count, failed: failed)
    }
}

#if Kafka
/// When a member joins once more because its broker knew nothing of a topic.
///
/// librdkafka leaves such a topic out when it joins, tells it once, and looks again after five minutes.
struct Rejoining {
    /// When; `nil` when there is no reason to.
    private(set) var due: Duration?
    private var isMissing = false
    private var attempts = 0

    /// How long it waits each time.
    ///
    /// A change of the topics reaches every broker within the first. Each time the whole group shares out anew, and a member
    /// that has got nothing of a topic cannot tell whether others have, so it tries no more often.
    static let pauses: [Duration] = [.seconds(1), .seconds(4), .seconds(16)]

    /// Takes note that the broker knows nothing of a topic.
    ///
    /// - Parameters:
    ///   - isJoined: Whether the member has been given its partitions. To join anew before would leave another member behind,
    ///     for which the group waits.
    ///   - now: The time.
    mutating func missed(isJoined: Bool, now: Duration) {
        if !isMissing { (isMissing, attempts) = (true, 0) }
        if isJoined { plan(now) }
    }

    /// Takes note of what the group gives the member.
    ///
    /// - Parameters:
    ///   - hasAll: Whether there is something of each topic, so that all are known.
    ///   - now: The time.
    mutating func assigned(hasAll: Bool, now: Duration) {
        due = nil
        if hasAll { isMissing = false }
        if isMissing { plan(now) }
    }

    /// Tells whether it is time, once.
    mutating func isDue(now: Duration) -> Bool {
        guard let due, now >= due else { return false }
        self.due = nil
        return true
    }

    private mutating func plan(_ now: Duration) {
        guard due == nil else { return }
        guard attempts < Self.pauses.count else { return isMissing = false }
        due = now + Self.pauses[attempts]
        attempts += 1
    }
}
#endif

/// What has become of messages on their way; written down in one transaction.
struct JournalChange: Sendable {
    /// A message that the new side does not take.
    struct Refusal: Sendable {
        let id: String
        let reason: String
    }

    /// What the new side has confirmed.
    var done: [String] = []
    /// What has left the old side.
    var removed: [String] = []
    /// What could not go over now and can later.
    var left: [String] = []
    var refused: [Refusal] = []

    var isEmpty: Bool { done.isEmpty && removed.isEmpty && left.isEmpty && refused.isEmpty }
}

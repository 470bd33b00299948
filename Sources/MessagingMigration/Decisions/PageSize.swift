import Messaging

/// How many messages a page has: it follows from how large those of the page before were, so that large bodies do not fill
/// the memory.
struct PageSize: Sendable {
    /// The bytes that a page is meant to have at most.
    private static let bytes = 16 << 20
    /// What a message takes beside its body, about.
    private static let overhead = 256
    /// As long as no message has been seen.
    private static let first = 32

    private let most: Int
    /// The most messages of the next page.
    private(set) var count: Int

    init(atMost most: Int) {
        self.most = most
        count = min(most, Self.first)
    }

    /// Takes a page as the measure of the next one; an empty one says nothing.
    mutating func adapt(to page: [Message]) {
        if page.isEmpty { return }
        let found = page.reduce(0) { $0 + $1.body.count + Self.overhead }
        count = max(1, min(most, Self.bytes / (found / page.count)))
    }
}

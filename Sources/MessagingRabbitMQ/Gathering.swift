#if RabbitMQ
/// Whether messages that came wait a moment for more, so that one hand-over carries many; without I/O.
///
/// A single message waits for a fifth of a millisecond. While many come they wait on, for a millisecond at most.
struct Gathering: Sendable, Equatable {
    /// How long messages wait for others.
    static let pause: Duration = .microseconds(200)
    /// As many in each pause are many.
    static let many = 4
    /// How long the first one waits at most.
    static let longest: Duration = .milliseconds(1)

    /// When the messages that are counted began to come, and how many they are.
    private var start: Duration = .zero
    private var count = 0
    /// Whether many came lately.
    private(set) var isBusy = false

    /// Notes that messages came.
    mutating func arrived(_ messages: Int, at now: Duration) {
        count += messages
        let passed = now - start
        guard passed >= Self.pause else { return }
        isBusy = Double(count) >= Double(Self.many) * (passed / Self.pause)
        (start, count) = (now, 0)
    }

    /// Until when to wait for more.
    ///
    /// - Parameters:
    ///   - ready: How many messages are here.
    ///   - max: How many are wanted.
    ///   - first: When the first of them came.
    ///   - last: When the last of them came.
    ///   - now: The time.
    /// - Returns: The time; `nil` when they are to be handed over at once.
    func end(ready: Int, max: Int, first: Duration, last: Duration, now: Duration) -> Duration? {
        if ready >= max { return nil }
        let end = isBusy ? min(last + Self.pause, first + Self.longest) : first + Self.pause
        return now < end ? end : nil
    }
}
#endif

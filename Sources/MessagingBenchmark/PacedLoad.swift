import Messaging
import Synchronization

/// Messages at a fixed rate, one by one, and how long after their time they reach a handler.
final class PacedLoad: Sendable {
    private struct State {
        var start: ContinuousClock.Instant?
        /// When each message really left; `nil` before that, and once it was handled.
        var sent: [ContinuousClock.Instant?]
        var intended = LatencyRecorder()
        var actual = LatencyRecorder()
        var sending = Duration.zero
    }

    /// Messages before the first one that counts, so that connections, scripts and caches are warm.
    private static let warmUp = 20
    /// The fewest bytes of a body: it carries the message's number.
    private static let numberBytes = 8

    private let settings: BenchmarkSettings
    private let schedule: SendSchedule
    private let state: Mutex<State>
    private let warm = HandledCounter(part: PacedLoad.warmUp, parts: 1)
    private let handled: HandledCounter

    init(_ settings: BenchmarkSettings) {
        self.settings = settings
        schedule = SendSchedule(rate: settings.rate)
        handled = HandledCounter(part: settings.paced, parts: 1)
        state = Mutex(State(sent: [ContinuousClock.Instant?](repeating: nil, count: settings.paced)))
    }

    /// The body of a message: its number, and what is left of the size.
    static func body(_ number: Int?, size: Int) -> [UInt8] {
        let bits = number.map { UInt64($0) } ?? .max
        let digits = (0..<numberBytes).map { UInt8(truncatingIfNeeded: bits >> UInt64(56 - 8 * $0)) }
        return digits + [UInt8](repeating: UInt8(ascii: "x"), count: max(0, size - numberBytes))
    }

    /// The number of a message; `nil` for those that warm up.
    static func number(_ body: [UInt8]) -> Int? {
        guard body.count >= numberBytes else { return nil }
        return Int(exactly: body.prefix(numberBytes).reduce(0 as UInt64) { $0 << 8 | UInt64($1) })
    }

    /// Publishes everything at its time, what is late at once, and waits until it is handled.
    func send(to queue: any MessageQueue, _ target: String) async throws {
        for number in 0..<Self.warmUp {
            let message = Message(body: Self.body(nil, size: settings.size), key: settings.key(number))
            try await queue.publish(message, to: target)
        }
        try await warm.wait(settings.patience)
        let clock = ContinuousClock()
        let start = clock.now
        state.withLock { $0.start = start }
        for number in 0..<settings.paced {
            try await schedule.wait(for: number, since: start)
            let message = Message(body: Self.body(number, size: settings.size), key: settings.key(number))
            let now = clock.now
            state.withLock { $0.sent[number] = now }
            try await queue.publish(message, to: target)
        }
        let time = clock.now - start
        state.withLock { $0.sending = time }
        try await handled.wait(settings.patience)
    }

    /// Notes that a message has reached its handler; one that comes again is not counted again.
    func received(_ delivery: Delivery) {
        let now = ContinuousClock.now
        guard let number = Self.number(delivery.message.body) else { return warm.countOne() }
        let isFirst = state.withLock { state in
            guard let start = state.start, state.sent.indices.contains(number), let sent = state.sent[number] else {
                return false
            }
            state.sent[number] = nil
            state.intended.record(now - start - schedule.offset(of: number))
            state.actual.record(now - sent)
            return true
        }
        if isFirst { handled.countOne() }
    }

    /// The figures; `nil` when nothing was handled.
    var result: LatencyResult? {
        state.withLock { state in
            guard let intended = state.intended.summary, let actual = state.actual.summary else { return nil }
            let rate = Taken(count: settings.paced, time: state.sending).rate
            return LatencyResult(rate: settings.rate, achieved: rate, intended: intended, sent: actual)
        }
    }
}

import Logging
import Messaging
import NIOCore
import Synchronization

/// What all streams of a process share: one reader of the store, and the latest statements as events.
///
/// While there is a stream, the reader looks when this process has applied something, and once a second for what others
/// have. Who is not further behind than what is kept here is served from here; others read the store themselves.
final class StatementFeed: Sendable {
    /// A place among the streams; given back when it is let go.
    final class Place: Sendable {
        private let feed: StatementFeed
        let generation: UInt64

        fileprivate init(_ feed: StatementFeed, generation: UInt64) {
            self.feed = feed
            self.generation = generation
        }

        deinit { feed.leave() }
    }

    private struct State {
        var streams = 0
        var reader: Task<Void, Never>?
        /// Grows when the store was emptied or replaced; streams of an earlier one end.
        var generation: UInt64 = 0
        var recent: [StatementFrame] = []
        var recentBytes = 0
        /// Everything behind this position and up to `head` is in `recent`; `nil` until the reader has begun.
        var floor: Int64?
        var head: Int64 = 0
    }

    /// How many statements are read at once.
    static let batch = 64
    private static let recentLimit = 256
    private static let recentBytesLimit = 4 << 20
    private static let interval: Duration = .seconds(1)

    let store: any StatementStore
    let clock: QueueClock
    let streamLimit: Int
    /// Sent when there is more to read.
    let news = StatementSignal()
    private let applied: StatementSignal
    private let onCount: @Sendable (Int) -> Void
    private let logger: Logger
    private let state = Mutex(State())

    /// Creates a feed without streams.
    ///
    /// - Parameters:
    ///   - store: The statements; when it is a ``NotifyingStatementStore`` it says what this process applies.
    ///   - streamLimit: The most streams.
    ///   - clock: The time between two looks.
    ///   - logger: Where a store that does not answer is reported.
    ///   - onCount: Told the number of streams when it changes.
    init(
        store: any StatementStore,
        streamLimit: Int,
        clock: QueueClock,
        logger: Logger,
        onCount: @escaping @Sendable (Int) -> Void = { _ in }
    ) {
        self.store = store
        self.streamLimit = streamLimit
        self.clock = clock
        self.logger = logger
        self.onCount = onCount
        applied = (store as? NotifyingStatementStore)?.signal ?? StatementSignal()
    }

    deinit { state.withLock { $0.reader }?.cancel() }

    /// How many streams there are.
    var streams: Int { state.withLock(\.streams) }

    /// The generation of the store's content.
    var generation: UInt64 { state.withLock(\.generation) }

    /// Takes a place among the streams.
    ///
    /// - Returns: The place; `nil` when all are taken.
    func enter() -> Place? {
        let entered = state.withLock { state -> (generation: UInt64, count: Int)? in
            guard state.streams < streamLimit else { return nil }
            state.streams += 1
            if state.reader == nil {
                state.reader = Task { [weak self] in await Self.read { self } }
            }
            return (state.generation, state.streams)
        }
        guard let entered else { return nil }
        onCount(entered.count)
        return Place(self, generation: entered.generation)
    }

    private func leave() {
        let (count, reader) = state.withLock { state -> (Int, Task<Void, Never>?) in
            state.streams -= 1
            guard state.streams == 0 else { return (state.streams, nil) }
            defer { state.reader = nil }
            forget(&state)
            return (0, state.reader)
        }
        reader?.cancel()
        onCount(count)
    }

    /// Lists what comes behind a position.
    ///
    /// - Parameter position: The position.
    /// - Returns: Some events, at most a batch; none when there is nothing yet.
    /// - Throws: Whatever keeps the store from answering.
    func events(after position: Int64) async throws -> [StatementFrame] {
        let recent = state.withLock { state -> [StatementFrame]? in
            guard let floor = state.floor, position >= floor else { return nil }
            return Array(state.recent.drop { $0.position <= position }.prefix(Self.batch))
        }
        if let recent { return recent }
        return try await store.changes(after: position, limit: Self.batch).items.map(StatementFrame.init)
    }

    // MARK: - Reader

    /// Reads until the task is cancelled or the feed is let go.
    private static func read(_ feed: () -> StatementFeed?) async {
        var hasFailed = false
        while !Task.isCancelled, let feed = feed() {
            let seen = feed.applied.count
            do {
                try await feed.advance()
                hasFailed = false
            } catch {
                // Once for each time that it begins to fail.
                if !hasFailed, !Task.isCancelled {
                    feed.logger.warning(
                        "the statements for the streams cannot be read; trying again every second",
                        metadata: [LogKeys.error: "\(error)"]
                    )
                }
                hasFailed = true
            }
            await feed.applied.wait(past: seen, until: feed.clock.now() + interval, clock: feed.clock)
        }
    }

    private func advance() async throws {
        let last = try await store.lastPosition()
        let isBehind = state.withLock { state in
            if Task.isCancelled { return false }
            if state.floor == nil {
                state.floor = last
                state.head = last
            } else if last < state.head {
                // Another content: positions begin anew, and so must the streams.
                forget(&state)
                state.generation += 1
            } else {
                return last > state.head
            }
            return false
        }
        guard isBehind else { return news.send() }
        while !Task.isCancelled {
            let head = state.withLock(\.head)
            let items = try await store.changes(after: head, limit: Self.batch).items
            let frames = try items.map(StatementFrame.init)
            state.withLock { add(frames, to: &$0) }
            news.send()
            guard items.count == Self.batch else { return }
        }
    }

    private func add(_ frames: [StatementFrame], to state: inout State) {
        guard !Task.isCancelled, state.floor != nil else { return }
        for frame in frames where frame.position > state.head {
            state.recent.append(frame)
            state.recentBytes += frame.bytes.readableBytes
            state.head = frame.position
        }
        var surplus = 0
        while surplus < state.recent.count,
            state.recent.count - surplus > Self.recentLimit || state.recentBytes > Self.recentBytesLimit
        {
            state.recentBytes -= state.recent[surplus].bytes.readableBytes
            state.floor = state.recent[surplus].position
            surplus += 1
        }
        state.recent.removeFirst(surplus)
    }

    private func forget(_ state: inout State) {
        state.recent = []
        state.recentBytes = 0
        state.floor = nil
        state.head = 0
    }
}

import Hummingbird
import Logging
import Messaging
import NIOCore
import Synchronization

/// One client's stream of statements.
///
/// It holds at most one batch of events. A client that reads slowly holds up only itself: it is read from the store, by
/// position, as fast as it takes it.
final class StatementStream: Sendable {
    private static let heartbeat: Duration = .seconds(15)

    private let feed: StatementFeed
    private let place: StatementFeed.Place
    private let query: StreamQuery
    private let start: Int64
    private let isStopped = Atomic<Bool>(false)
    private let logger: Logger

    /// Creates a stream.
    ///
    /// - Parameters:
    ///   - feed: The statements.
    ///   - place: Its place among the streams.
    ///   - query: What the client wants.
    ///   - last: The position of the last statement at the moment.
    ///   - logger: Where a store that does not answer is reported.
    init(_ feed: StatementFeed, _ place: StatementFeed.Place, _ query: StreamQuery, last: Int64, logger: Logger) {
        self.feed = feed
        self.place = place
        self.query = query
        self.logger = logger
        // A position that was never reached is of another content of the store: nothing of this one is known.
        start = query.after.map { $0 > last ? 0 : $0 } ?? last
    }

    /// Lets the stream end behind what is being written.
    func stop() {
        isStopped.store(true, ordering: .releasing)
        feed.news.send()
    }

    /// Writes events until the client has what it wants, the task is cancelled, or the stream is stopped.
    ///
    /// - Parameter writer: Where to.
    /// - Throws: What the writer throws: the client is gone.
    @concurrent
    func write(to writer: inout any ResponseBodyWriter) async throws {
        let clock = feed.clock
        let end = query.wait.map { clock.now() + $0 }
        var position = start
        var left = query.limit ?? .max
        /// Where to end, once the time is over.
        var target: Int64?
        try await writer.write(ByteBuffer(string: StatementFrame.opening))
        var quiet = clock.now() + Self.heartbeat
        while left > 0, !Task.isCancelled, !isStopped.load(ordering: .acquiring), feed.generation == place.generation {
            let seen = feed.news.count
            let events = await events(after: position).prefix(left)
            if let last = events.last {
                try await writer.write(Self.joined(events))
                quiet = clock.now() + Self.heartbeat
                position = last.position
                left -= events.count
            }
            if let end, clock.now() >= end {
                if target == nil { target = try? await feed.store.lastPosition() }
                if position >= target ?? position { return }
            }
            if !events.isEmpty { continue }
            if target != nil {
                // What the store said is there and does not show yet; the reader will tell.
                await feed.news.wait(past: seen, until: clock.now() + .seconds(1), clock: clock)
                continue
            }
            await feed.news.wait(past: seen, until: min(quiet, end ?? quiet), clock: clock)
            if clock.now() >= quiet {
                try await writer.write(ByteBuffer(string: StatementFrame.heartbeat))
                quiet = clock.now() + Self.heartbeat
            }
        }
    }

    /// What comes behind a position; nothing when the store does not answer, which the reader reports.
    private func events(after position: Int64) async -> [StatementFrame] {
        do {
            return try await feed.events(after: position)
        } catch {
            logger.debug("a stream cannot read the statements", metadata: [LogKeys.error: "\(error)"])
            return []
        }
    }

    private static func joined(_ events: some Collection<StatementFrame>) -> ByteBuffer {
        var bytes = ByteBuffer()
        bytes.reserveCapacity(events.reduce(0) { $0 + $1.bytes.readableBytes })
        for event in events { bytes.writeImmutableBuffer(event.bytes) }
        return bytes
    }
}

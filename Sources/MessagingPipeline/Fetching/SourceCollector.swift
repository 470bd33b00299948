import Foundation
import Logging
import Messaging

/// Reads sources when they are due and publishes what they have.
///
/// Each source has a task and a schedule of its own. What is known of a source is kept only once everything it answered
/// has been published with confirmation, so a crash in between reads the source again and adds nothing.
struct SourceCollector: Sendable {
    let collector: Collector
    let fetcher: SourceFetcher
    let states: any SourceStateStore
    let permits: Permits
    let clock: QueueClock
    let logger: Logger
    /// A number from 0 to 1 for each jitter.
    var random: @Sendable () -> Double = { .random(in: 0...1) }

    private var schedule: FetchSchedule { FetchSchedule(configuration: fetcher.configuration) }

    init(
        collector: Collector,
        fetcher: SourceFetcher,
        states: any SourceStateStore,
        clock: QueueClock,
        logger: Logger
    ) {
        self.collector = collector
        self.fetcher = fetcher
        self.states = states
        self.permits = Permits(fetcher.configuration.maxConcurrent)
        self.clock = clock
        self.logger = logger
    }

    // MARK: - Many sources

    /// Reads every source once; one that fails is reported.
    ///
    /// - Throws: `QueueError` when the queue cannot be used at all, or `CancellationError`.
    func readOnce(_ sources: [RemoteSource]) async throws {
        try await withThrowingTaskGroup(of: Void.self) { group in
            for source in sources {
                collector.board.begin(source)
                group.addTask {
                    guard let failure = try await attempt(source) else { return }
                    report(failure, of: source, delay: nil)
                }
            }
            try await group.waitForAll()
        }
    }

    /// Keeps reading the sources of a list, which may change, until the task is cancelled.
    ///
    /// - Parameters:
    ///   - list: The sources.
    ///   - endsWhenRead: Whether to end when no source is left to be read again.
    /// - Throws: `QueueError` when the queue cannot be used at all; `CancellationError` when a source that is to be read
    ///   once has not been read.
    func follow(_ list: SourceList, endsWhenRead: Bool) async throws {
        let (changes, wake) = AsyncStream.makeStream(of: Void.self, bufferingPolicy: .bufferingNewest(1))
        let follower = list.follow { wake.yield() }
        defer { list.stopFollowing(follower) }
        wake.yield()
        let ended = EndedTasks()
        var tasks: [UInt64: Task<Void, Never>] = [:]
        var running: [RemoteSource: UInt64] = [:]
        var isRead: Set<RemoteSource> = []
        var last: UInt64 = 0
        var failure: (any Error)?
        for await _ in changes {
            for (number, result) in ended.takeAll() {
                tasks[number] = nil
                guard let source = running.first(where: { $0.value == number })?.key else { continue }
                running[source] = nil
                switch result {
                case .success: isRead.insert(source)
                case .failure(let error): failure = error
                }
            }
            if failure != nil { break }
            let wanted = list.sources
            let known = Set(wanted)
            isRead.formIntersection(known)
            for (source, number) in running where !known.contains(source) {
                tasks[number]?.cancel()
                running[source] = nil
                collector.board.end(source)
            }
            for source in wanted where running[source] == nil && !isRead.contains(source) {
                last += 1
                let number = last
                running[source] = number
                collector.board.begin(source)
                tasks[number] = Task {
                    let result: Result<Void, any Error>
                    do {
                        result = .success(try await keepReading(source))
                    } catch {
                        result = .failure(error)
                    }
                    ended.add(number, result)
                    wake.yield()
                }
            }
            if endsWhenRead, running.isEmpty { break }
        }
        for task in tasks.values { task.cancel() }
        for task in tasks.values { await task.value }
        for (number, result) in ended.takeAll() {
            guard case .success = result, let source = running.first(where: { $0.value == number })?.key else {
                continue
            }
            isRead.insert(source)
        }
        if let failure { throw failure }
        let unread = list.sources.contains { $0.every == nil && !isRead.contains($0) }
        if Task.isCancelled, unread { throw CancellationError() }
    }

    // MARK: - One source

    /// Reads a source whenever it is due; returns when it is read and not to be read again.
    private func keepReading(_ source: RemoteSource) async throws {
        var failures = 0
        while true {
            let start = clock.now()
            if let failure = try await attempt(source) {
                failures += 1
                let delay = schedule.delay(failures: failures, retryAfter: failure.retryAfter, random: random())
                report(failure, of: source, delay: delay)
                try await clock.sleep(for: delay)
            } else {
                failures = 0
                guard let delay = schedule.delay(every: source.every, random: random()) else { return }
                try await clock.sleep(until: max(start + delay, clock.now()))
            }
        }
    }

    /// Reads a source.
    ///
    /// - Returns: Why it could not be read; nil when it was.
    /// - Throws: `QueueError` when the queue cannot be used at all, or `CancellationError`.
    private func attempt(_ source: RemoteSource) async throws -> FetchFailure? {
        var failure: FetchFailure
        do {
            failure = try await permits.withPermit { try await read(source) } ?? FetchFailure("")
            if failure.description.isEmpty { return nil }
        } catch {
            if Task.isCancelled { throw CancellationError() }
            switch error {
            case let known as FetchFailure: failure = known
            case let error as QueueError where error.isRetryable:
                failure = FetchFailure("what was read cannot be published: \(error.message)")
            default: throw error
            }
        }
        failure.description = source.redacted(failure.description)
        collector.board.note(source) {
            $0.failed += 1
            $0.lastError = failure.description
        }
        collector.tell()
        return failure
    }

    private func read(_ source: RemoteSource) async throws -> FetchFailure? {
        let known = await knownState(source)
        switch try await fetcher.fetch(source, state: known) {
        case .unchanged:
            await save(
                SourceState(etag: known?.etag, lastModified: known?.lastModified, fetchedAt: clock.date()),
                source
            )
            note(source) { $0.notModified += 1 }
        case .document(let body, let contentType, let state):
            let document = RemoteDocument.read(body, contentType: contentType, source: source)
            try await publish(document, source)
            if let reason = document.failure { return FetchFailure(reason) }
            // What breaks off is read as a whole next time.
            await save(document.isComplete ? state : SourceState(fetchedAt: state.fetchedAt), source)
            note(source) { $0.fetched += 1 }
        }
        return nil
    }

    private func note(_ source: RemoteSource, _ change: (inout SourceReport) -> Void) {
        collector.board.note(source) {
            $0.lastError = nil
            $0.fetchedAt = clock.date()
            change(&$0)
        }
        collector.tell()
    }

    /// Publishes all statements; returns when the broker has confirmed each one or refused it for good.
    private func publish(_ document: RemoteDocument, _ source: RemoteSource) async throws {
        var pending: [Statement] = []
        var figures = CollectReport()
        for result in document.results {
            switch result {
            case .malformed(let record): figures.note(record)
            case .statement(let statement): pending.append(statement)
            }
        }
        figures.read = pending.count
        collector.board.add(figures, from: source)
        if let first = figures.malformedRecords.first {
            logger.notice(
                "parts of a source cannot be used",
                metadata: [
                    SourceLogKeys.source: "\(source.name)", LogKeys.count: "\(figures.malformed)",
                    LogKeys.reason: "\(source.redacted(first.description))",
                ]
            )
        }
        var rest = pending[...]
        while !rest.isEmpty {
            try Task.checkCancellation()
            collector.board.add(try await collector.publish(Array(rest.prefix(collector.batch))), from: source)
            collector.tell()
            rest = rest.dropFirst(collector.batch)
        }
    }

    // MARK: - State and reports

    /// What is known of a source; nothing when the store cannot say, which only costs traffic.
    private func knownState(_ source: RemoteSource) async -> SourceState? {
        do {
            return try await states.state(of: source.key)
        } catch {
            logger.warning(
                "what is known of a source cannot be looked up; it is read as a whole",
                metadata: [SourceLogKeys.source: "\(source.name)", LogKeys.error: "\(source.redacted("\(error)"))"]
            )
            return nil
        }
    }

    private func save(_ state: SourceState, _ source: RemoteSource) async {
        do {
            try await states.save(state, of: source.key)
        } catch {
            logger.warning(
                "what is known of a source cannot be kept; it will be read as a whole again",
                metadata: [SourceLogKeys.source: "\(source.name)", LogKeys.error: "\(source.redacted("\(error)"))"]
            )
        }
    }

    private func report(_ failure: FetchFailure, of source: RemoteSource, delay: Duration?) {
        var metadata: Logger.Metadata = [
            SourceLogKeys.source: "\(source.name)", LogKeys.error: "\(failure.description)",
        ]
        if let delay { metadata[LogKeys.delay] = "\(delay)" }
        logger.warning("a source cannot be read", metadata: metadata)
    }
}

/// Keys of log metadata that only sources use.
enum SourceLogKeys {
    static let source = "mq.source"
}

#if Kafka
import Foundation
import Logging
import Messaging
import Synchronization

/// Writes records and waits for the broker's word on each.
///
/// A thread of its own takes the reports as they come. A producer that librdkafka gives up on (a gap in its sequence
/// numbers) is replaced, and what it had not resolved is written again by the next one, under the same id.
final class KafkaPublisher: Sendable {
    /// A record and where it goes.
    struct Order: Sendable {
        var place: TopicPartition
        var payload: KafkaPayload

        var bytes: Int {
            (payload.value?.count ?? 0) + (payload.key?.count ?? 0) + (payload.id?.utf8.count ?? 0)
                + payload.headers.reduce(64) { $0 + $1.name.utf8.count + $1.value.count }
        }
    }

    /// Messages as their publisher gave them, all for one topic; they need no detour over payloads.
    struct Run: Sendable {
        let topic: String
        let messages: [Message]
        let partitions: [Int32]

        func bytes(_ index: Int) -> Int {
            let message = messages[index]
            var bytes = 64 + message.body.count + message.id.rawValue.utf8.count
            if let key = message.key { bytes += key.utf8.count }
            if let type = message.contentType { bytes += type.utf8.count }
            if message.headers.isEmpty { return bytes }
            return message.headers.reduce(bytes) { $0 + $1.name.utf8.count + $1.value.count }
        }
    }

    /// What is written together.
    enum Work: Sendable {
        case orders([Order])
        case run(Run)

        var count: Int {
            switch self {
            case .orders(let orders): orders.count
            case .run(let run): run.messages.count
            }
        }

        func topic(_ index: Int) -> String {
            switch self {
            case .orders(let orders): orders[index].place.topic
            case .run(let run): run.topic
            }
        }

        fileprivate func part(_ range: Range<Int>) -> Work {
            switch self {
            case .orders(let orders): .orders(Array(orders[range]))
            case .run(let run):
                .run(
                    Run(
                        topic: run.topic,
                        messages: Array(run.messages[range]),
                        partitions: Array(run.partitions[range])
                    )
                )
            }
        }

        fileprivate var sizes: [Int] {
            switch self {
            case .orders(let orders): orders.map(\.bytes)
            case .run(let run): run.messages.indices.map { run.bytes($0) }
            }
        }
    }

    /// Records that are written together.
    ///
    /// `@unchecked Sendable`: its variables are only touched with the publisher's mutex held.
    private final class Batch: @unchecked Sendable {
        let work: Work
        let sizes: [Int]
        /// Whether each has its report.
        var isReported: [Bool]
        /// The reports that tell of more than success.
        var failures: [Int: KafkaReport] = [:]
        var left: Int
        var tries: [Int: Int] = [:]
        var continuation: CheckedContinuation<Void, Never>?

        init(_ work: Work) {
            self.work = work
            sizes = work.sizes
            isReported = Array(repeating: false, count: sizes.count)
            left = sizes.count
        }
    }

    private struct State {
        var client: KafkaClient?
        var batches: [UInt: Batch] = [:]
        var next: UInt = 1
        var records = 0
        var bytes = 0
        var waiting: [CheckedContinuation<Void, Never>] = []
        var isClosed = false
        /// The last thing that kept librdkafka from the broker.
        var trouble: KafkaFailure?
    }

    /// Below librdkafka's own bounds, so that it never refuses a record for want of room.
    static let maxRecords = 20_000
    static let maxBytes = 64 << 20
    private static let indexBits: UInt = 20
    /// How often a record is given to a new producer.
    private static let maxTries = 3
    private static let closeLimit: Duration = .seconds(5)

    private let settings: [(name: String, value: String)]
    private let log: KafkaLog
    private let state = Mutex(State())

    init(settings: [(name: String, value: String)], log: KafkaLog) {
        self.settings = settings
        self.log = log
    }

    /// The client, for requests that are no records.
    ///
    /// - Throws: `KafkaFailure` when librdkafka does not take a setting, or after ``close()``.
    func client() throws(KafkaFailure) -> KafkaClient {
        let (known, isClosed) = state.withLock { ($0.client, $0.isClosed) }
        if isClosed { throw Self.closed }
        if let known { return known }
        let made = try KafkaClient(.producer, settings: settings)
        let used = state.withLock { state in
            if let other = state.client { return other }
            state.client = made
            return made
        }
        if used === made { start(made) }
        return used
    }

    static let closed = KafkaFailure(code: -1, name: "_CLOSED", text: "the client was closed")

    /// What keeps the client from the broker at the moment.
    var trouble: KafkaFailure? { state.withLock { $0.trouble } }

    /// Writes records and waits for all reports; librdkafka's `message.timeout.ms` bounds that.
    ///
    /// - Parameter orders: The records.
    /// - Returns: A report for each, in order.
    /// - Throws: `KafkaFailure` when nothing was written.
    func write(_ orders: [Order]) async throws(KafkaFailure) -> [KafkaReport] {
        var reports = [KafkaReport](repeating: KafkaReport(token: 0, persistence: .persisted), count: orders.count)
        for (index, report) in try await failures(of: .orders(orders)) { reports[index] = report }
        return reports
    }

    /// Writes records and waits for all reports, like ``write(_:)``.
    ///
    /// - Parameter work: The records.
    /// - Returns: The reports that tell of more than success, by the index of the record.
    /// - Throws: `KafkaFailure` when nothing was written.
    func failures(of work: Work) async throws(KafkaFailure) -> [Int: KafkaReport] {
        let most = 1 << Int(Self.indexBits) - 1
        if work.count <= most { return try await write(part: work) }
        var failures: [Int: KafkaReport] = [:]
        for start in stride(from: 0, to: work.count, by: most) {
            let part = work.part(start..<min(start + most, work.count))
            for (index, report) in try await write(part: part) { failures[start + index] = report }
        }
        return failures
    }

    private func write(part work: Work) async throws(KafkaFailure) -> [Int: KafkaReport] {
        _ = try client()
        let batch = Batch(work)
        let number = state.withLock { state in
            state.next = (state.next + 1) & (UInt.max >> (Self.indexBits + 1))
            state.batches[state.next] = batch
            return state.next
        }
        var index = 0
        while index < batch.sizes.count {
            let count = reserve(batch.sizes[index...])
            if count == 0 {
                await room()
                continue
            }
            produce(number, work, index..<index + count)
            index += count
        }
        await withCheckedContinuation { continuation in
            let isDone = state.withLock { state in
                // One that was closed meanwhile has no batches any more.
                guard state.batches[number] != nil, batch.left > 0 else { return true }
                batch.continuation = continuation
                return false
            }
            if isDone { continuation.resume() }
        }
        return state.withLock { state in
            state.batches[number] = nil
            guard batch.left > 0 else { return batch.failures }
            for index in batch.sizes.indices where !batch.isReported[index] {
                batch.failures[index] = KafkaReport(token: 0, persistence: .possibly, failure: Self.closed)
            }
            return batch.failures
        }
    }

    /// Gives records to the present producer; what it does not take has its report at once.
    private func produce(_ batch: UInt, _ work: Work, _ range: Range<Int>) {
        let token = batch << Self.indexBits
        let refused: [(index: Int, failure: KafkaFailure)]
        var used: KafkaClient?
        do throws(KafkaFailure) {
            let client = try client()
            used = client
            refused = client.produce(work, range, token: token)
        } catch {
            refused = range.map { ($0, error) }
        }
        if refused.isEmpty { return }
        // The next record goes to another producer; the thread of this one hears of it by itself.
        if refused.contains(where: { $0.failure.name == "_FATAL" }) {
            state.withLock { state in
                if state.client === used { state.client = nil }
            }
        }
        resolve(
            refused.map { KafkaReport(token: token + UInt($0.index), persistence: .not, failure: $0.failure) }
        )
    }

    // MARK: - Room

    /// Takes room for as many records as there is; always for one when nothing is under way.
    private func reserve(_ sizes: ArraySlice<Int>) -> Int {
        state.withLock { state in
            var count = 0
            for size in sizes {
                let isFull = state.records >= Self.maxRecords || state.bytes + size > Self.maxBytes
                if isFull, state.records > 0 { break }
                state.records += 1
                state.bytes += size
                count += 1
            }
            return count
        }
    }

    /// Waits until reports have made room; they come within `message.timeout.ms`.
    private func room() async {
        await withCheckedContinuation { continuation in
            let isFree = state.withLock { state in
                if state.records == 0 { return true }
                state.waiting.append(continuation)
                return false
            }
            if isFree { continuation.resume() }
        }
    }

    // MARK: - Reports

    private func resolve(_ reports: [KafkaReport]) {
        var done: [CheckedContinuation<Void, Never>] = []
        var again: [(UInt, Work, Int)] = []
        let waiting = state.withLock { state in
            for report in reports {
                let (number, index) = (report.token >> Self.indexBits, Int(report.token & (1 << Self.indexBits - 1)))
                guard let batch = state.batches[number] else { continue }
                if report.failure == nil { state.trouble = nil }
                for index in index..<min(index + Int(report.count), batch.sizes.count) where !batch.isReported[index] {
                    if report.failure != nil {
                        if Self.isOfProducer(report), !state.isClosed, batch.tries[index, default: 0] < Self.maxTries {
                            batch.tries[index, default: 0] += 1
                            again.append((number, batch.work, index))
                            continue
                        }
                        batch.failures[index] = report
                    }
                    batch.isReported[index] = true
                    batch.left -= 1
                    state.records -= 1
                    state.bytes -= batch.sizes[index]
                }
                if batch.left == 0, let waiter = batch.continuation {
                    batch.continuation = nil
                    done.append(waiter)
                }
            }
            defer { state.waiting = [] }
            return state.waiting
        }
        for continuation in done { continuation.resume() }
        for continuation in waiting { continuation.resume() }
        for (batch, work, index) in again { produce(batch, work, index..<index + 1) }
    }

    /// Whether a record failed because its producer did, so that the next one may write it.
    private static func isOfProducer(_ report: KafkaReport) -> Bool {
        [
            "_PURGE_QUEUE", "_PURGE_INFLIGHT", "_FATAL", "OUT_OF_ORDER_SEQUENCE_NUMBER", "UNKNOWN_PRODUCER_ID",
            "INVALID_PRODUCER_EPOCH", "INVALID_PRODUCER_ID_MAPPING",
        ].contains(report.failure?.name)
    }

    // MARK: - The thread

    private func start(_ client: KafkaClient) {
        let thread = Thread { self.serve(client) }
        thread.name = "mq-kafka-publish"
        thread.start()
    }

    private func serve(_ client: KafkaClient) {
        var isReplaced = false
        var end: ContinuousClock.Instant?
        while true {
            let isClosed = state.withLock { $0.isClosed }
            if isClosed, end == nil { end = .now + Self.closeLimit }
            if isReplaced || isClosed, client.pending == 0 { break }
            if let end, ContinuousClock.now >= end {
                client.purge()
                while let event = client.poll(for: .milliseconds(100)) { _ = handle(event) }
                break
            }
            guard let event = client.poll(for: isReplaced || isClosed ? .milliseconds(100) : .seconds(60)) else {
                continue
            }
            if handle(event), !isReplaced {
                isReplaced = true
                state.withLock { state in
                    if state.client === client { state.client = nil }
                }
                client.purge()
            }
        }
        // What has no report now gets none.
        if state.withLock({ $0.isClosed }) { abandon() }
    }

    /// - Returns: Whether the producer has failed for good.
    private func handle(_ event: KafkaEvent) -> Bool {
        switch event {
        case .delivered(let reports): resolve(reports)
        case .failure(let failure):
            state.withLock { $0.trouble = failure }
            log.failure(failure)
            return failure.isFatal
        case .log(let line): log.line(line)
        case .statistics(let text): KafkaMetrics().report(text)
        default: break
        }
        return false
    }

    private func abandon() {
        let waiting = state.withLock { state in
            defer {
                state.batches = [:]
                state.waiting = []
                (state.records, state.bytes) = (0, 0)
            }
            return state.batches.values.compactMap(\.continuation) + state.waiting
        }
        for continuation in waiting { continuation.resume() }
    }

    /// Waits for what is under way, a few seconds at most, and ends the client.
    func close() {
        let client = state.withLock { state in
            defer {
                state.isClosed = true
                state.client = nil
            }
            return state.client
        }
        client?.wake()
    }
}
#endif

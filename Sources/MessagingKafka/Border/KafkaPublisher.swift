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

    /// Records that are written together.
    ///
    /// `@unchecked Sendable`: its variables are only touched with the publisher's mutex held.
    private final class Batch: @unchecked Sendable {
        let orders: [Order]
        /// Whether each has its report.
        var isReported: [Bool]
        /// The reports that tell of more than success.
        var failures: [Int: KafkaReport] = [:]
        var left: Int
        var tries: [Int: Int] = [:]
        var continuation: CheckedContinuation<Void, Never>?

        init(_ orders: [Order]) {
            self.orders = orders
            isReported = Array(repeating: false, count: orders.count)
            left = orders.count
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
        for (index, report) in try await failures(of: orders) { reports[index] = report }
        return reports
    }

    /// Writes records and waits for all reports, like ``write(_:)``.
    ///
    /// - Parameter orders: The records.
    /// - Returns: The reports that tell of more than success, by the index of the record.
    /// - Throws: `KafkaFailure` when nothing was written.
    func failures(of orders: [Order]) async throws(KafkaFailure) -> [Int: KafkaReport] {
        let most = 1 << Int(Self.indexBits) - 1
        if orders.count <= most { return try await write(part: orders) }
        var failures: [Int: KafkaReport] = [:]
        for start in stride(from: 0, to: orders.count, by: most) {
            let part = Array(orders[start..<min(start + most, orders.count)])
            for (index, report) in try await write(part: part) { failures[start + index] = report }
        }
        return failures
    }

    private func write(part orders: [Order]) async throws(KafkaFailure) -> [Int: KafkaReport] {
        _ = try client()
        let batch = Batch(orders)
        let number = state.withLock { state in
            state.next = (state.next + 1) & (UInt.max >> (Self.indexBits + 1))
            state.batches[state.next] = batch
            return state.next
        }
        var index = 0
        while index < orders.count {
            let count = reserve(orders[index...])
            if count == 0 {
                await room()
                continue
            }
            produce(number, index, orders[index..<index + count])
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
            for index in orders.indices where !batch.isReported[index] {
                batch.failures[index] = KafkaReport(token: 0, persistence: .possibly, failure: Self.closed)
            }
            return batch.failures
        }
    }

    /// Gives records to the present producer; what it does not take has its report at once.
    private func produce(_ batch: UInt, _ index: Int, _ orders: ArraySlice<Order>) {
        let token = batch << Self.indexBits | UInt(index)
        let refused: [(position: Int, failure: KafkaFailure)]
        var used: KafkaClient?
        do throws(KafkaFailure) {
            let client = try client()
            used = client
            refused = client.produce(orders, token: token)
        } catch {
            refused = (0..<orders.count).map { ($0, error) }
        }
        if refused.isEmpty { return }
        // The next record goes to another producer; the thread of this one hears of it by itself.
        if refused.contains(where: { $0.failure.name == "_FATAL" }) {
            state.withLock { state in
                if state.client === used { state.client = nil }
            }
        }
        resolve(
            refused.map { KafkaReport(token: token + UInt($0.position), persistence: .not, failure: $0.failure) }
        )
    }

    // MARK: - Room

    /// Takes room for as many records as there is; always for one when nothing is under way.
    private func reserve(_ orders: ArraySlice<Order>) -> Int {
        state.withLock { state in
            var count = 0
            for order in orders {
                let isFull = state.records >= Self.maxRecords || state.bytes + order.bytes > Self.maxBytes
                if isFull, state.records > 0 { break }
                state.records += 1
                state.bytes += order.bytes
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
        var again: [(UInt, Int, Order)] = []
        let waiting = state.withLock { state in
            // Reports come in runs of the same batch.
            var (known, batch): (UInt, Batch?) = (0, nil)
            for report in reports {
                let (number, index) = (report.token >> Self.indexBits, Int(report.token & (1 << Self.indexBits - 1)))
                if batch == nil || number != known { (known, batch) = (number, state.batches[number]) }
                guard let batch, !batch.isReported[index] else { continue }
                if report.failure != nil {
                    if Self.isOfProducer(report), !state.isClosed, batch.tries[index, default: 0] < Self.maxTries {
                        batch.tries[index, default: 0] += 1
                        again.append((number, index, batch.orders[index]))
                        continue
                    }
                    batch.failures[index] = report
                } else if state.trouble != nil {
                    state.trouble = nil
                }
                batch.isReported[index] = true
                batch.left -= 1
                state.records -= 1
                state.bytes -= batch.orders[index].bytes
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
        for (batch, index, order) in again { produce(batch, index, [order]) }
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

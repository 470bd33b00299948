#if Kafka
import Dispatch
import Foundation
import Messaging
import Synchronization

/// Asks the brokers for things.
///
/// librdkafka blocks meanwhile, so each question runs on a thread that may.
final class KafkaBroker: Sendable {
    let configuration: KafkaConfiguration
    let publisher: KafkaPublisher
    private let asking = DispatchQueue(label: "mq-kafka-ask", attributes: .concurrent)
    /// One at a time: the reader has one assignment.
    private let reading = DispatchQueue(label: "mq-kafka-read")
    private struct State {
        var reader: KafkaClient?
        /// Clients that ask for what groups have committed, by group.
        var observers: [String: KafkaClient] = [:]
        var isClosed = false
    }
    private let state = Mutex(State())

    init(_ configuration: KafkaConfiguration, log: KafkaLog) {
        self.configuration = configuration
        publisher = KafkaPublisher(settings: configuration.producerSettings, log: log)
    }

    /// Asks with the reader's client: unlike a producer's, its questions never create a topic.
    ///
    /// - Parameters:
    ///   - what: What is asked, for errors.
    ///   - queue: The queue it is about.
    ///   - body: The question; it may block.
    /// - Returns: The answer.
    /// - Throws: `QueueError`.
    func ask<Answer: Sendable>(
        _ what: String,
        _ queue: String? = nil,
        _ body: @escaping @Sendable (KafkaClient, Duration) throws(KafkaFailure) -> Answer
    ) async throws(QueueError) -> Answer {
        let (publisher, timeout) = (publisher, configuration.timeout)
        return try await run(asking, what, queue) { () throws(KafkaFailure) in
            // The publisher's thread hears why a broker cannot be reached.
            _ = try publisher.client()
            return try body(try self.reader(), timeout)
        }
    }

    /// Asks with a client of its own, which ends with the answer: for what changes topics that the reader has read, of
    /// which it must not hear.
    func askApart<Answer: Sendable>(
        _ what: String,
        _ queue: String? = nil,
        _ body: @escaping @Sendable (KafkaClient, Duration) throws(KafkaFailure) -> Answer
    ) async throws(QueueError) -> Answer {
        let (publisher, timeout, settings) = (publisher, configuration.timeout, configuration.readerSettings())
        return try await run(asking, what, queue) { () throws(KafkaFailure) in
            _ = try publisher.client()
            return try body(try KafkaClient(.reader, settings: settings), timeout)
        }
    }

    /// Reads a part of one partition.
    func read(
        _ place: TopicPartition,
        _ range: Range<Int64>,
        max count: Int = .max,
        _ queue: String? = nil
    ) async throws(QueueError) -> [KafkaRecord] {
        if range.isEmpty { return [] }
        let timeout = configuration.timeout
        return try await run(reading, "reading \(place)", queue) { () throws(KafkaFailure) in
            try self.reader().read(place, range, max: count, within: timeout)
        }
    }

    private func reader() throws(KafkaFailure) -> KafkaClient {
        let (known, isClosed) = state.withLock { ($0.reader, $0.isClosed) }
        if isClosed { throw KafkaPublisher.closed }
        if let known { return known }
        let made = try KafkaClient(.reader, settings: configuration.readerSettings())
        return state.withLock { state in
            if !state.isClosed { state.reader = made }
            return made
        }
    }

    private func run<Answer: Sendable>(
        _ dispatch: DispatchQueue,
        _ what: String,
        _ queue: String?,
        _ body: @escaping @Sendable () throws(KafkaFailure) -> Answer
    ) async throws(QueueError) -> Answer {
        let result: Result<Answer, KafkaFailure> = await withCheckedContinuation { continuation in
            dispatch.async {
                do throws(KafkaFailure) {
                    continuation.resume(returning: .success(try body()))
                } catch {
                    continuation.resume(returning: .failure(error))
                }
            }
        }
        switch result {
        case .success(let answer): return answer
        case .failure(let failure):
            // What librdkafka says after a timeout is less than what it met before.
            let cause = failure.name == "_TIMED_OUT" || failure.name == "_TRANSPORT" ? publisher.trouble : nil
            let shown = cause ?? failure
            let error = KafkaErrors.error(shown, queue: queue, doing: what)
            if cause != nil, error.code == .brokerError {
                throw KafkaErrors.error(failure, queue: queue, doing: what)
            }
            throw error
        }
    }

    /// What a group has committed.
    ///
    /// A client of that group asks, without joining it: librdkafka 2.0.2 can end the process in the administrator's
    /// request for the same.
    func committed(
        of group: String,
        _ places: [TopicPartition],
        _ queue: String
    ) async throws(QueueError) -> [KafkaPosition] {
        let timeout = configuration.timeout
        return try await run(asking, "asking for the group '\(group)'", queue) { () throws(KafkaFailure) in
            _ = try self.publisher.client()
            return try self.observer(of: group).committed(places, within: timeout)
        }
    }

    private func observer(of group: String) throws(KafkaFailure) -> KafkaClient {
        let (known, isClosed) = state.withLock { ($0.observers[group], $0.isClosed) }
        if isClosed { throw KafkaPublisher.closed }
        if let known { return known }
        let made = try KafkaClient(.reader, settings: configuration.readerSettings(group: group))
        let old = state.withLock { state in
            let old = state.observers
            // Each has threads and connections; whoever looks at many groups asks some of them anew.
            if old.count >= Self.maxObservers { state.observers = [:] }
            if !state.isClosed { state.observers[group] = made }
            return old.count >= Self.maxObservers ? old : [:]
        }
        withExtendedLifetime(old) {}
        return made
    }

    private static let maxObservers = 8

    /// Where partitions begin and end.
    func bounds(
        of places: [TopicPartition],
        _ queue: String
    ) async throws(QueueError) -> [TopicPartition: Range<Int64>] {
        try await ask("asking where partitions end", queue) { (client, timeout) throws(KafkaFailure) in
            let begins = try client.offsets(
                places.map { KafkaPosition(place: $0, offset: KafkaPosition.beginning) },
                within: timeout
            )
            let ends = try client.offsets(
                places.map { KafkaPosition(place: $0, offset: KafkaPosition.end) },
                within: timeout
            )
            var bounds: [TopicPartition: Range<Int64>] = [:]
            for place in places {
                let end = max(0, ends[place] ?? 0)
                bounds[place] = min(max(0, begins[place] ?? 0), end)..<end
            }
            return bounds
        }
    }

    /// Ends the clients.
    func close() {
        publisher.close()
        let last = Last()
        state.withLock { state in
            last.clients = Array(state.observers.values) + [state.reader].compactMap { $0 }
            state.reader = nil
            state.observers = [:]
            state.isClosed = true
        }
        // Destroying them joins librdkafka's threads, so the last reference goes there and not here.
        reading.async { last.clients = [] }
    }

    /// Holds clients until they are let go of.
    ///
    /// `@unchecked Sendable`: it is filled before it is handed on, and then only the one block touches it.
    private final class Last: @unchecked Sendable {
        var clients: [KafkaClient] = []
    }
}
#endif

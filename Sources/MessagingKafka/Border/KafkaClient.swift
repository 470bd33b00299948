#if Kafka
import CRdKafka
import DequeModule
import Synchronization

/// One client of librdkafka; nothing outside this folder touches its types and pointers.
///
/// The pointers live exactly as long as this object, and nothing here hands one out, so none can be used too late. Whoever
/// calls ``poll(for:)`` is the one thread that serves this client's events.
///
/// `@unchecked Sendable`: the pointers are constants, and librdkafka allows calls on them from any thread; the tables
/// are behind a mutex.
final class KafkaClient: @unchecked Sendable {
    enum Role: Sendable, Equatable {
        /// Writes, and asks the broker for things.
        case producer
        /// A member of a group, whose rebalances are events.
        case member
        /// Reads partitions that it is told to.
        case reader
    }

    private struct Tables {
        /// The topics that were written to, by name.
        var topics: [String: OpaquePointer] = [:]
        /// The partitions behind librdkafka's topic objects, so that a record needs no new string.
        var spots: [PlaceKey: RecordReader.Spot] = [:]
        /// What events come from while the group is being left.
        var closing: OpaquePointer?
    }

    private struct PlaceKey: Hashable {
        let topic: UInt
        let partition: Int32
    }

    let handle: OpaquePointer
    let queue: OpaquePointer
    /// Where the records of partitions go that are read only as far as there is room; members have it.
    let store: OpaquePointer?
    private let role: Role
    private let tables = Mutex(Tables())

    /// Creates a client; nothing is connected yet.
    ///
    /// - Parameters:
    ///   - role: What it is for.
    ///   - settings: librdkafka's settings, by name.
    /// - Throws: `KafkaFailure` for a setting that librdkafka does not take; the text has its name and never its value.
    init(_ role: Role, settings: [(name: String, value: String)]) throws(KafkaFailure) {
        self.role = role
        guard let configuration = rd_kafka_conf_new() else { throw Self.noMemory }
        var text = [CChar](repeating: 0, count: 512)
        for (name, value) in settings {
            let result = rd_kafka_conf_set(configuration, name, value, &text, text.count)
            guard result == RD_KAFKA_CONF_OK else {
                rd_kafka_conf_destroy(configuration)
                let problem = result == RD_KAFKA_CONF_UNKNOWN ? "it is unknown" : "its value is not valid"
                throw KafkaFailure(
                    code: RD_KAFKA_RESP_ERR__INVALID_ARG.rawValue,
                    name: "_INVALID_ARG",
                    text: "librdkafka does not take the setting '\(name)': \(problem)"
                )
            }
        }
        switch role {
        case .producer:
            rd_kafka_conf_set_events(
                configuration,
                RD_KAFKA_EVENT_DR | RD_KAFKA_EVENT_ERROR | RD_KAFKA_EVENT_LOG | RD_KAFKA_EVENT_STATS
            )
        case .member:
            rd_kafka_conf_set_events(
                configuration,
                RD_KAFKA_EVENT_FETCH | RD_KAFKA_EVENT_REBALANCE | RD_KAFKA_EVENT_OFFSET_COMMIT | RD_KAFKA_EVENT_ERROR
                    | RD_KAFKA_EVENT_LOG | RD_KAFKA_EVENT_STATS
            )
        case .reader:
            // Nobody serves its events; what goes wrong is seen in what its calls answer.
            rd_kafka_conf_set_log_cb(configuration) { _, _, _, _ in }
        }
        let type = role == .producer ? RD_KAFKA_PRODUCER : RD_KAFKA_CONSUMER
        guard let handle = rd_kafka_new(type, configuration, &text, text.count) else {
            rd_kafka_conf_destroy(configuration)
            // librdkafka's text of a failed start names settings and files, and no secret.
            let reason = text.withUnsafeBytes { String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self) }
            throw KafkaFailure(code: RD_KAFKA_RESP_ERR__INVALID_ARG.rawValue, name: "_INVALID_ARG", text: reason)
        }
        self.handle = handle
        if type == RD_KAFKA_CONSUMER { rd_kafka_poll_set_consumer(handle) }
        let queue = type == RD_KAFKA_CONSUMER ? rd_kafka_queue_get_consumer(handle) : rd_kafka_queue_get_main(handle)
        guard let queue else {
            rd_kafka_destroy(handle)
            throw Self.noMemory
        }
        self.queue = queue
        store = role == .member ? rd_kafka_queue_new(handle) : nil
        if let store {
            // Called by a thread of librdkafka when a record comes into the empty store.
            rd_kafka_queue_cb_event_enable(
                store,
                { _, queue in rd_kafka_queue_yield(queue.map { OpaquePointer($0) }) },
                UnsafeMutableRawPointer(queue)
            )
        }
        if role != .reader { rd_kafka_set_log_queue(handle, queue) }
    }

    deinit {
        for topic in tables.withLock({ $0.topics.values }) { rd_kafka_topic_destroy(topic) }
        if let closing = tables.withLock({ TopicBox($0.closing) }).pointer { rd_kafka_queue_destroy(closing) }
        if let store {
            rd_kafka_queue_cb_event_enable(store, nil, nil)
            rd_kafka_queue_destroy(store)
        }
        rd_kafka_queue_destroy(queue)
        switch role {
        // It is in no group; without closing, a partition that is about to stop keeps librdkafka from ending.
        case .reader, .producer: rd_kafka_destroy(handle)
        // It has left before, or is to be found out by its silence; destroying never waits for the group.
        case .member: rd_kafka_destroy_flags(handle, RD_KAFKA_DESTROY_F_NO_CONSUMER_CLOSE)
        }
    }

    static let noMemory = KafkaFailure(
        code: RD_KAFKA_RESP_ERR__CRIT_SYS_RESOURCE.rawValue,
        name: "_CRIT_SYS_RESOURCE",
        text: "librdkafka got no memory"
    )

    /// The version of librdkafka.
    static var libraryVersion: String { String(cString: rd_kafka_version_str()) }

    static func failure(_ code: rd_kafka_resp_err_t, _ text: String? = nil) -> KafkaFailure {
        KafkaFailure(
            code: code.rawValue,
            name: String(cString: rd_kafka_err2name(code)),
            text: text ?? String(cString: rd_kafka_err2str(code))
        )
    }

    static func check(_ code: rd_kafka_resp_err_t) throws(KafkaFailure) {
        if code != RD_KAFKA_RESP_ERR_NO_ERROR { throw failure(code) }
    }

    static func milliseconds(_ duration: Duration) -> Int32 {
        Int32(
            clamping: max(
                0,
                duration.components.seconds * 1000 + duration.components.attoseconds / 1_000_000_000_000_000
            )
        )
    }

    // MARK: - Events

    /// Waits for the next event.
    ///
    /// - Parameter duration: How long; ``wake()`` ends the wait.
    /// - Returns: The event; `nil` when there was none.
    func poll(for duration: Duration) -> KafkaEvent? {
        let source = tables.withLock { TopicBox($0.closing) }.pointer ?? queue
        guard let event = rd_kafka_queue_poll(source, Self.milliseconds(duration)) else { return nil }
        defer { rd_kafka_event_destroy(event) }
        switch rd_kafka_event_type(event) {
        case RD_KAFKA_EVENT_FETCH: return fetched(event)
        case RD_KAFKA_EVENT_DR: return .delivered(Self.reports(event))
        case RD_KAFKA_EVENT_REBALANCE:
            let places = PartitionList.positions(rd_kafka_event_topic_partition_list(event)).map(\.place)
            if rd_kafka_event_error(event) == RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS { return .assigned(places) }
            return .revoked(places, isLost: rd_kafka_assignment_lost(handle) != 0)
        case RD_KAFKA_EVENT_OFFSET_COMMIT:
            let error = rd_kafka_event_error(event)
            return .committed(error == RD_KAFKA_RESP_ERR_NO_ERROR ? nil : Self.failure(error))
        case RD_KAFKA_EVENT_ERROR:
            let failure = fatal(event)
            guard KafkaErrors.isMissing(failure) else { return .failure(failure) }
            // What is said of a subscription is said of no partition.
            guard let place = rd_kafka_event_topic_partition(event) else { return .unheard(failure) }
            rd_kafka_topic_partition_destroy(place)
            return .failure(failure)
        case RD_KAFKA_EVENT_LOG:
            var (facility, text): (UnsafePointer<CChar>?, UnsafePointer<CChar>?)
            var level: Int32 = 7
            guard rd_kafka_event_log(event, &facility, &text, &level) == 0 else { return .other }
            return .log(
                KafkaLogLine(
                    level: Int(level),
                    facility: facility.map { String(cString: $0) } ?? "",
                    text: text.map { String(cString: $0) } ?? ""
                )
            )
        case RD_KAFKA_EVENT_STATS:
            return rd_kafka_event_stats(event).map { .statistics(String(cString: $0)) } ?? .other
        default: return .other
        }
    }

    /// Takes records of the partitions that were assigned to be read apart, without waiting.
    ///
    /// What is not asked for stays in librdkafka, which then fetches no more. Pausing would throw it away.
    ///
    /// - Parameters:
    ///   - count: The largest number.
    ///   - arrivals: Where they go.
    /// - Returns: How many there were, and what librdkafka says went wrong with their partitions.
    func takeStored(_ count: Int, into arrivals: inout Deque<Arrival>) -> (taken: Int, failures: [KafkaFailure]) {
        guard let store else { return (0, []) }
        var failures: [KafkaFailure] = []
        var known: (topic: OpaquePointer?, partition: Int32, spot: RecordReader.Spot)?
        var taken = 0
        // One at a time: librdkafka before 2.1 loses records in its calls for many when partitions change hands.
        while taken < count, let event = rd_kafka_queue_poll(store, 0) {
            defer { rd_kafka_event_destroy(event) }
            taken += 1
            guard rd_kafka_event_type(event) == RD_KAFKA_EVENT_FETCH else {
                if rd_kafka_event_type(event) == RD_KAFKA_EVENT_ERROR { failures.append(fatal(event)) }
                continue
            }
            guard let message = rd_kafka_event_message_next(event) else { continue }
            guard message.pointee.err == RD_KAFKA_RESP_ERR_NO_ERROR else {
                failures.append(Self.failure(message.pointee.err))
                continue
            }
            let spot: RecordReader.Spot
            if let known, known.topic == message.pointee.rkt, known.partition == message.pointee.partition {
                spot = known.spot
            } else {
                spot = self.spot(of: message)
                known = (message.pointee.rkt, message.pointee.partition, spot)
            }
            arrivals.append(RecordReader.arrival(message, of: spot))
        }
        return (taken, failures)
    }

    private func fetched(_ event: OpaquePointer) -> KafkaEvent {
        guard let message = rd_kafka_event_message_next(event) else { return .other }
        if message.pointee.err != RD_KAFKA_RESP_ERR_NO_ERROR { return .failure(Self.failure(message.pointee.err)) }
        let spot = spot(of: message)
        // What is delivered is for the group, and comes this way only before its partition was set apart.
        return KafkaNames.isWords(spot.place.topic)
            ? .record(spot.place, RecordReader.record(message)) : .arrival(RecordReader.arrival(message, of: spot))
    }

    /// Ends a wait in ``poll(for:)``, now or when it begins.
    func wake() { rd_kafka_queue_yield(queue) }

    /// An error event; a fatal one hides its cause behind `_FATAL`.
    private func fatal(_ event: OpaquePointer) -> KafkaFailure {
        let code = rd_kafka_event_error(event)
        let text = rd_kafka_event_error_string(event).map { String(cString: $0) }
        guard code == RD_KAFKA_RESP_ERR__FATAL || rd_kafka_event_error_is_fatal(event) != 0 else {
            return Self.failure(code, text)
        }
        var reason = [CChar](repeating: 0, count: 512)
        let cause = rd_kafka_fatal_error(handle, &reason, reason.count)
        let words = reason.withUnsafeBytes { String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self) }
        var failure = Self.failure(cause, words.isEmpty ? text : words)
        failure.isFatal = true
        return failure
    }

    private static func reports(_ event: OpaquePointer) -> [KafkaReport] {
        var reports: [KafkaReport] = []
        while let message = rd_kafka_event_message_next(event) {
            let persistence: Persistence
            switch rd_kafka_message_status(message) {
            case RD_KAFKA_MSG_STATUS_PERSISTED: persistence = .persisted
            case RD_KAFKA_MSG_STATUS_NOT_PERSISTED: persistence = .not
            default: persistence = .possibly
            }
            let error = message.pointee.err
            let token = UInt(bitPattern: message.pointee._private)
            if error == RD_KAFKA_RESP_ERR_NO_ERROR, let last = reports.last, last.failure == nil,
                last.persistence == persistence, last.token + last.count == token
            {
                // As most reports are: of one that was written after the one before.
                reports[reports.count - 1].count += 1
                continue
            }
            reports.append(
                KafkaReport(
                    token: token,
                    persistence: persistence,
                    failure: error == RD_KAFKA_RESP_ERR_NO_ERROR ? nil : failure(error)
                )
            )
        }
        return reports
    }

    private func spot(of message: UnsafePointer<rd_kafka_message_t>) -> RecordReader.Spot {
        let key = PlaceKey(topic: UInt(bitPattern: message.pointee.rkt), partition: message.pointee.partition)
        return tables.withLock { tables in
            if let spot = tables.spots[key] { return spot }
            let name = message.pointee.rkt.flatMap { rd_kafka_topic_name($0) }.map { String(cString: $0) } ?? ""
            let spot = RecordReader.Spot(TopicPartition(topic: name, partition: key.partition))
            tables.spots[key] = spot
            return spot
        }
    }

    // MARK: - Topics

    func topic(_ name: String) throws(KafkaFailure) -> OpaquePointer {
        let topic = tables.withLock { tables in
            if let topic = tables.topics[name] { return TopicBox(topic) }
            guard let topic = rd_kafka_topic_new(handle, name, nil) else { return TopicBox(nil) }
            tables.topics[name] = topic
            return TopicBox(topic)
        }
        guard let pointer = topic.pointer else { throw Self.failure(rd_kafka_last_error()) }
        return pointer
    }

    /// Lets the pointer of a topic or a queue, which lives as long as the client or its only user, out of the mutex.
    ///
    /// `@unchecked`: it is never changed, and librdkafka counts its users itself.
    struct TopicBox: @unchecked Sendable {
        let pointer: OpaquePointer?
        init(_ pointer: OpaquePointer?) { self.pointer = pointer }
    }

    /// How many records and requests are under way.
    var pending: Int { Int(rd_kafka_outq_len(handle)) }

    /// Gives up on every record that is waiting or under way; each gets its report.
    func purge() { rd_kafka_purge(handle, RD_KAFKA_PURGE_F_QUEUE | RD_KAFKA_PURGE_F_INFLIGHT) }

    // MARK: - Leaving

    /// Begins to leave the group; events go on until ``hasLeft``.
    func leave() {
        // A queue of its own: librdkafka forwards the consumer's queue there, and a queue that is forwarded to itself
        // gives nothing any more.
        let made = tables.withLock { tables in
            tables.closing = rd_kafka_queue_new(handle)
            return TopicBox(tables.closing)
        }
        guard let closing = made.pointer, let error = rd_kafka_consumer_close_queue(handle, closing)
        else { return }
        rd_kafka_error_destroy(error)
    }

    /// Whether the group was left.
    var hasLeft: Bool { rd_kafka_consumer_closed(handle) != 0 }
}
#endif

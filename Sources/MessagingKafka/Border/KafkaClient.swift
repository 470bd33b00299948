#if Kafka
import CRdKafka
import Foundation
import Synchronization

/// One client of librdkafka: the only code that touches its types and pointers.
///
/// The pointers live exactly as long as this object, and no method hands one out, so none can be used too late. Whoever
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
        /// The names behind librdkafka's topic objects, so that a record needs no new string.
        var places: [PlaceKey: TopicPartition] = [:]
        /// What events come from while the group is being left.
        var closing: OpaquePointer?
    }

    private struct PlaceKey: Hashable {
        let topic: UInt
        let partition: Int32
    }

    private let handle: OpaquePointer
    private let queue: OpaquePointer
    /// Where the records of partitions go that are read only as far as there is room; members have it.
    private let store: OpaquePointer?
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

    private static let noMemory = KafkaFailure(
        code: RD_KAFKA_RESP_ERR__CRIT_SYS_RESOURCE.rawValue,
        name: "_CRIT_SYS_RESOURCE",
        text: "librdkafka got no memory"
    )

    /// The version of librdkafka.
    static var libraryVersion: String { String(cString: rd_kafka_version_str()) }

    private static func failure(_ code: rd_kafka_resp_err_t, _ text: String? = nil) -> KafkaFailure {
        KafkaFailure(
            code: code.rawValue,
            name: String(cString: rd_kafka_err2name(code)),
            text: text ?? String(cString: rd_kafka_err2str(code))
        )
    }

    private static func check(_ code: rd_kafka_resp_err_t) throws(KafkaFailure) {
        if code != RD_KAFKA_RESP_ERR_NO_ERROR { throw failure(code) }
    }

    private static func milliseconds(_ duration: Duration) -> Int32 {
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
            let places = Self.positions(rd_kafka_event_topic_partition_list(event)).map(\.place)
            if rd_kafka_event_error(event) == RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS { return .assigned(places) }
            return .revoked(places, isLost: rd_kafka_assignment_lost(handle) != 0)
        case RD_KAFKA_EVENT_OFFSET_COMMIT:
            let error = rd_kafka_event_error(event)
            return .committed(error == RD_KAFKA_RESP_ERR_NO_ERROR ? nil : Self.failure(error))
        case RD_KAFKA_EVENT_ERROR: return .failure(fatal(event))
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

    /// The next record of the partitions that were assigned to be read apart, without waiting.
    ///
    /// What is not asked for stays in librdkafka, which then fetches no more. Pausing would throw it away.
    func pollStore() -> KafkaEvent? {
        guard let store, let event = rd_kafka_queue_poll(store, 0) else { return nil }
        defer { rd_kafka_event_destroy(event) }
        return rd_kafka_event_type(event) == RD_KAFKA_EVENT_FETCH ? fetched(event) : .other
    }

    private func fetched(_ event: OpaquePointer) -> KafkaEvent {
        guard let message = rd_kafka_event_message_next(event) else { return .other }
        if message.pointee.err != RD_KAFKA_RESP_ERR_NO_ERROR { return .failure(Self.failure(message.pointee.err)) }
        return .record(place(of: message), Self.record(message))
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
        reports.reserveCapacity(rd_kafka_event_message_count(event))
        while let message = rd_kafka_event_message_next(event) {
            let persistence: Persistence
            switch rd_kafka_message_status(message) {
            case RD_KAFKA_MSG_STATUS_PERSISTED: persistence = .persisted
            case RD_KAFKA_MSG_STATUS_NOT_PERSISTED: persistence = .not
            default: persistence = .possibly
            }
            let error = message.pointee.err
            reports.append(
                KafkaReport(
                    token: UInt(bitPattern: message.pointee._private),
                    persistence: persistence,
                    failure: error == RD_KAFKA_RESP_ERR_NO_ERROR ? nil : failure(error)
                )
            )
        }
        return reports
    }

    private func place(of message: UnsafePointer<rd_kafka_message_t>) -> TopicPartition {
        let key = PlaceKey(topic: UInt(bitPattern: message.pointee.rkt), partition: message.pointee.partition)
        return tables.withLock { tables in
            if let place = tables.places[key] { return place }
            let name = message.pointee.rkt.flatMap { rd_kafka_topic_name($0) }.map { String(cString: $0) } ?? ""
            let place = TopicPartition(topic: name, partition: key.partition)
            tables.places[key] = place
            return place
        }
    }

    private static func bytes(_ pointer: UnsafeRawPointer?, _ count: Int) -> [UInt8]? {
        pointer.map { Array(UnsafeRawBufferPointer(start: $0, count: count)) }
    }

    private static func record(_ message: UnsafePointer<rd_kafka_message_t>) -> KafkaRecord {
        var type = RD_KAFKA_TIMESTAMP_NOT_AVAILABLE
        let timestamp = rd_kafka_message_timestamp(message, &type)
        var payload = KafkaPayload(
            key: bytes(message.pointee.key, message.pointee.key_len),
            value: bytes(message.pointee.payload, message.pointee.len)
        )
        var headers: OpaquePointer?
        if rd_kafka_message_headers(message, &headers) == RD_KAFKA_RESP_ERR_NO_ERROR, let headers {
            let count = rd_kafka_header_cnt(headers)
            payload.headers.reserveCapacity(count)
            for index in 0..<count {
                var name: UnsafePointer<CChar>?
                var value: UnsafeRawPointer?
                var size = 0
                guard rd_kafka_header_get_all(headers, index, &name, &value, &size) == RD_KAFKA_RESP_ERR_NO_ERROR,
                    let name
                else { break }
                payload.headers.append(KafkaHeader(name: String(cString: name), value: bytes(value, size) ?? []))
            }
        }
        return KafkaRecord(
            partition: message.pointee.partition,
            offset: message.pointee.offset,
            timestamp: type == RD_KAFKA_TIMESTAMP_NOT_AVAILABLE || timestamp < 0 ? nil : timestamp,
            payload: payload
        )
    }

    // MARK: - Writing

    /// Gives records to librdkafka; the report of each carries its token.
    ///
    /// - Parameters:
    ///   - orders: The records, for partitions that exist.
    ///   - token: What the report of the first is to carry; it counts up from there.
    /// - Returns: What was not taken and will have no report, by the position among the records.
    func produce(_ orders: ArraySlice<KafkaPublisher.Order>, token: UInt) -> [(position: Int, failure: KafkaFailure)] {
        var refused: [(position: Int, failure: KafkaFailure)] = []
        var last: (name: String, topic: OpaquePointer)?
        for (position, order) in orders.enumerated() {
            do throws(KafkaFailure) {
                if last?.name != order.place.topic { last = (order.place.topic, try topic(order.place.topic)) }
                guard let topic = last?.topic else { continue }
                try produce(order.payload, to: topic, order.place.partition, token: token + UInt(position))
            } catch {
                refused.append((position, error))
            }
        }
        return refused
    }

    private func produce(
        _ payload: KafkaPayload,
        to topic: OpaquePointer,
        _ partition: Int32,
        token: UInt
    ) throws(KafkaFailure) {
        let headers = try Self.headers(payload)
        let code = Self.withBytes(payload.key) { key in
            Self.withBytes(payload.value) { value in
                mq_produce(
                    handle,
                    topic,
                    partition,
                    key.baseAddress,
                    key.count,
                    value.baseAddress,
                    value.count,
                    headers,
                    token
                )
            }
        }
        guard code != RD_KAFKA_RESP_ERR_NO_ERROR else { return }
        // Headers that were not taken are still ours.
        if let headers { rd_kafka_headers_destroy(headers) }
        throw Self.failure(code)
    }

    private static func headers(_ payload: KafkaPayload) throws(KafkaFailure) -> OpaquePointer? {
        let count = payload.headers.count + (payload.id == nil ? 0 : 1)
        if count == 0 { return nil }
        guard let list = rd_kafka_headers_new(count) else { throw noMemory }
        var code = RD_KAFKA_RESP_ERR_NO_ERROR
        if var id = payload.id {
            let name = KafkaPayload.idHeader
            code = id.withUTF8 { bytes in
                name.withUTF8Buffer { name in
                    name.withMemoryRebound(to: CChar.self) { name in
                        let value = UnsafeRawPointer(bytes.baseAddress) ?? nothing
                        return rd_kafka_header_add(list, name.baseAddress, name.count, value, bytes.count)
                    }
                }
            }
        }
        for header in payload.headers where code == RD_KAFKA_RESP_ERR_NO_ERROR {
            code = header.value.withUnsafeBytes { bytes in
                rd_kafka_header_add(list, header.name, -1, bytes.baseAddress ?? nothing, bytes.count)
            }
        }
        if code == RD_KAFKA_RESP_ERR_NO_ERROR { return list }
        rd_kafka_headers_destroy(list)
        throw failure(code)
    }

    /// What an empty value points to: no pointer at all would be a tombstone.
    // It is never written to, and lives as long as the process.
    nonisolated(unsafe) private static let nothing: UnsafeRawPointer = {
        let byte = UnsafeMutablePointer<UInt8>.allocate(capacity: 1)
        byte.initialize(to: 0)
        return UnsafeRawPointer(byte)
    }()

    private static func withBytes<Result>(_ bytes: [UInt8]?, _ body: (UnsafeRawBufferPointer) -> Result) -> Result {
        guard let bytes else { return body(UnsafeRawBufferPointer(start: nil, count: 0)) }
        if bytes.isEmpty { return body(UnsafeRawBufferPointer(start: nothing, count: 0)) }
        return bytes.withUnsafeBytes(body)
    }

    private func topic(_ name: String) throws(KafkaFailure) -> OpaquePointer {
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
    private struct TopicBox: @unchecked Sendable {
        let pointer: OpaquePointer?
        init(_ pointer: OpaquePointer?) { self.pointer = pointer }
    }

    /// How many records and requests are under way.
    var pending: Int { Int(rd_kafka_outq_len(handle)) }

    /// Gives up on every record that is waiting or under way; each gets its report.
    func purge() { rd_kafka_purge(handle, RD_KAFKA_PURGE_F_QUEUE | RD_KAFKA_PURGE_F_INFLIGHT) }

    // MARK: - Membership

    /// Joins the group for these topics.
    func subscribe(_ topics: [String]) throws(KafkaFailure) {
        let list = Self.list(
            topics.map { KafkaPosition(place: TopicPartition(topic: $0, partition: -1), offset: -1001) }
        )
        defer { rd_kafka_topic_partition_list_destroy(list) }
        try Self.check(rd_kafka_subscribe(handle, list))
    }

    /// Leaves the group and stays able to join it again; a ``KafkaEvent/revoked(_:isLost:)`` comes first.
    func unsubscribe() { rd_kafka_unsubscribe(handle) }

    /// Begins to read partitions from given offsets; answers an ``KafkaEvent/assigned(_:)``.
    ///
    /// - Parameters:
    ///   - positions: The partitions, and where to begin.
    ///   - apart: Those whose records are asked for with ``pollStore()``.
    /// - Throws: `KafkaFailure`.
    func assign(_ positions: [KafkaPosition], apart: Set<TopicPartition> = []) throws(KafkaFailure) {
        let list = Self.list(positions)
        defer { rd_kafka_topic_partition_list_destroy(list) }
        for place in apart {
            // Before the partition begins: librdkafka leaves a queue alone that was forwarded.
            guard let store, let own = rd_kafka_queue_get_partition(handle, place.topic, place.partition) else {
                continue
            }
            rd_kafka_queue_forward(own, store)
            rd_kafka_queue_destroy(own)
        }
        try Self.check(rd_kafka_assign(handle, list))
    }

    /// Stops reading; answers a ``KafkaEvent/revoked(_:isLost:)`` or refuses a ``KafkaEvent/assigned(_:)``.
    ///
    /// A member that is leaving must call it only for such an event: librdkafka forgets the request, and with it who waits
    /// for the answer, when it ends the membership at the same time.
    func unassign() { rd_kafka_assign(handle, nil) }

    /// Asks for the committed offsets; blocks.
    func committed(_ places: [TopicPartition], within time: Duration) throws(KafkaFailure) -> [KafkaPosition] {
        let list = Self.list(places.map { KafkaPosition(place: $0, offset: KafkaPosition.none) })
        defer { rd_kafka_topic_partition_list_destroy(list) }
        try Self.check(rd_kafka_committed(handle, list, Self.milliseconds(time)))
        for index in 0..<Int(list.pointee.cnt) { try Self.check(list.pointee.elems[index].err) }
        return Self.positions(list)
    }

    /// Commits; a ``KafkaEvent/committed(_:)`` follows.
    func commit(_ positions: [KafkaPosition]) throws(KafkaFailure) {
        let list = Self.list(positions)
        defer { rd_kafka_topic_partition_list_destroy(list) }
        try Self.check(rd_kafka_commit_queue(handle, list, queue, nil, nil))
    }

    /// Commits and blocks until the broker has answered.
    func commitNow(_ positions: [KafkaPosition]) throws(KafkaFailure) {
        let list = Self.list(positions)
        defer { rd_kafka_topic_partition_list_destroy(list) }
        try Self.check(rd_kafka_commit(handle, list, 0))
    }

    /// Stops fetching partitions for a while.
    func pause(_ places: [TopicPartition]) {
        let list = Self.list(places.map { KafkaPosition(place: $0, offset: KafkaPosition.none) })
        defer { rd_kafka_topic_partition_list_destroy(list) }
        rd_kafka_pause_partitions(handle, list)
    }

    /// Fetches partitions again.
    func resume(_ places: [TopicPartition]) {
        let list = Self.list(places.map { KafkaPosition(place: $0, offset: KafkaPosition.none) })
        defer { rd_kafka_topic_partition_list_destroy(list) }
        rd_kafka_resume_partitions(handle, list)
    }

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

    // MARK: - Reading

    /// Reads a part of one partition; blocks, and only one call at a time.
    ///
    /// - Parameters:
    ///   - place: The partition.
    ///   - range: The offsets, the end excluded.
    ///   - count: The largest number of records.
    ///   - time: How long it may take.
    /// - Returns: The records; fewer than there are when `count` was reached.
    /// - Throws: `KafkaFailure`, `_TIMED_OUT` when the end was not reached in time.
    func read(
        _ place: TopicPartition,
        _ range: Range<Int64>,
        max count: Int,
        within time: Duration
    ) throws(KafkaFailure) -> [KafkaRecord] {
        if range.isEmpty { return [] }
        let deadline = ContinuousClock.now + time
        try assign([KafkaPosition(place: place, offset: range.lowerBound)])
        defer { unassign() }
        var records: [KafkaRecord] = []
        while records.count < count {
            let left = deadline - ContinuousClock.now
            guard left > .zero else { throw Self.failure(RD_KAFKA_RESP_ERR__TIMED_OUT) }
            guard let message = rd_kafka_consumer_poll(handle, Self.milliseconds(left)) else { continue }
            defer { rd_kafka_message_destroy(message) }
            if message.pointee.err == RD_KAFKA_RESP_ERR__PARTITION_EOF {
                if message.pointee.offset >= range.upperBound { return records }
                continue
            }
            // The client reconnects by itself; only the deadline ends that.
            if Self.isPassing(message.pointee.err) { continue }
            try Self.check(message.pointee.err)
            guard message.pointee.partition == place.partition, message.pointee.offset >= range.lowerBound else {
                continue
            }
            if message.pointee.offset >= range.upperBound { return records }
            records.append(Self.record(message))
            if message.pointee.offset == range.upperBound - 1 { return records }
        }
        return records
    }

    private static func isPassing(_ code: rd_kafka_resp_err_t) -> Bool {
        code == RD_KAFKA_RESP_ERR__TRANSPORT || code == RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN
            || code == RD_KAFKA_RESP_ERR__RESOLVE || code == RD_KAFKA_RESP_ERR_COORDINATOR_NOT_AVAILABLE
    }

    // MARK: - Asking

    /// What the broker says of itself and of topics.
    struct Metadata: Sendable {
        var brokers = 0
        var broker = ""
        /// The number of partitions of each topic that exists.
        var partitions: [String: Int] = [:]
    }

    /// Asks for all topics, or for one; blocks.
    func metadata(_ topic: String? = nil, within time: Duration) throws(KafkaFailure) -> Metadata {
        var found: UnsafePointer<rd_kafka_metadata>?
        let only = try topic.map { (name) throws(KafkaFailure) in try self.topic(name) }
        try Self.check(rd_kafka_metadata(handle, topic == nil ? 1 : 0, only, &found, Self.milliseconds(time)))
        guard let found else { return Metadata() }
        defer { rd_kafka_metadata_destroy(found) }
        var metadata = Metadata(brokers: Int(found.pointee.broker_cnt))
        metadata.broker = found.pointee.orig_broker_name.map { String(cString: $0) } ?? ""
        for index in 0..<Int(found.pointee.topic_cnt) {
            let topic = found.pointee.topics[index]
            if topic.err == RD_KAFKA_RESP_ERR_NO_ERROR, let name = topic.topic {
                metadata.partitions[String(cString: name)] = Int(topic.partition_cnt)
            }
        }
        return metadata
    }

    /// Asks where partitions begin or end, or for the first offset at a time in milliseconds; blocks.
    ///
    /// - Parameters:
    ///   - positions: Partitions, each with ``KafkaPosition/beginning``, ``KafkaPosition/end`` or a time.
    ///   - time: How long it may take.
    /// - Returns: The offsets; ``KafkaPosition/end`` where no record is that young.
    /// - Throws: `KafkaFailure` when a broker cannot be asked in time.
    func offsets(_ positions: [KafkaPosition], within time: Duration) throws(KafkaFailure) -> [TopicPartition: Int64] {
        if positions.isEmpty { return [:] }
        let list = Self.list(positions)
        defer { rd_kafka_topic_partition_list_destroy(list) }
        try Self.check(rd_kafka_offsets_for_times(handle, list, Self.milliseconds(time)))
        for index in 0..<Int(list.pointee.cnt) { try Self.check(list.pointee.elems[index].err) }
        return Dictionary(Self.positions(list).map { ($0.place, $0.offset) }) { first, _ in first }
    }

    // MARK: - Changing

    /// Creates topics; blocks until the brokers know them.
    ///
    /// - Returns: What kept each topic from being created, in order; `nil` where it was.
    func create(_ topics: [KafkaTopic], within time: Duration) throws(KafkaFailure) -> [KafkaFailure?] {
        if topics.isEmpty { return [] }
        var requests: [OpaquePointer?] = []
        defer { for request in requests { rd_kafka_NewTopic_destroy(request) } }
        for topic in topics {
            var text = [CChar](repeating: 0, count: 256)
            guard
                let request = rd_kafka_NewTopic_new(
                    topic.name,
                    Int32(clamping: topic.partitions),
                    Int32(clamping: topic.replication),
                    &text,
                    text.count
                )
            else {
                let reason = text.withUnsafeBytes { String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self) }
                throw Self.failure(RD_KAFKA_RESP_ERR__INVALID_ARG, reason)
            }
            requests.append(request)
            for (name, value) in topic.settings.sorted(by: { $0.key < $1.key }) {
                rd_kafka_NewTopic_set_config(request, name, value)
            }
        }
        return try ask(RD_KAFKA_ADMIN_OP_CREATETOPICS, within: time) { options, queue in
            rd_kafka_CreateTopics(handle, &requests, requests.count, options, queue)
        } read: { (event) throws(KafkaFailure) in
            var count = 0
            guard let result = rd_kafka_event_CreateTopics_result(event),
                let answers = rd_kafka_CreateTopics_result_topics(result, &count)
            else { throw Self.failure(RD_KAFKA_RESP_ERR__BAD_MSG) }
            let failures = Self.failures(answers, count)
            return topics.map { failures[$0.name] }
        }
    }

    /// Deletes topics with all they have; blocks until the brokers have taken note.
    ///
    /// - Returns: What kept each topic from being deleted, in order; `nil` where it was.
    func delete(_ topics: [String], within time: Duration) throws(KafkaFailure) -> [KafkaFailure?] {
        if topics.isEmpty { return [] }
        var requests: [OpaquePointer?] = topics.map { rd_kafka_DeleteTopic_new($0) }
        defer { for request in requests { rd_kafka_DeleteTopic_destroy(request) } }
        return try ask(RD_KAFKA_ADMIN_OP_DELETETOPICS, within: time) { options, queue in
            rd_kafka_DeleteTopics(handle, &requests, requests.count, options, queue)
        } read: { (event) throws(KafkaFailure) in
            var count = 0
            guard let result = rd_kafka_event_DeleteTopics_result(event),
                let answers = rd_kafka_DeleteTopics_result_topics(result, &count)
            else { throw Self.failure(RD_KAFKA_RESP_ERR__BAD_MSG) }
            let failures = Self.failures(answers, count)
            return topics.map { failures[$0] }
        }
    }

    private static func failures(
        _ answers: UnsafeMutablePointer<OpaquePointer?>,
        _ count: Int
    ) -> [String: KafkaFailure] {
        var failures: [String: KafkaFailure] = [:]
        for index in 0..<count {
            guard let answer = answers[index], let name = rd_kafka_topic_result_name(answer) else { continue }
            let code = rd_kafka_topic_result_error(answer)
            if code == RD_KAFKA_RESP_ERR_NO_ERROR { continue }
            let text = rd_kafka_topic_result_error_string(answer).map { String(cString: $0) }
            failures[String(cString: name)] = failure(code, text)
        }
        return failures
    }

    /// Deletes groups and all that they have committed; blocks.
    ///
    /// - Throws: `KafkaFailure` when the brokers cannot be asked; what keeps a single group is not told.
    func delete(groups: [String], within time: Duration) throws(KafkaFailure) {
        // librdkafka takes one at a time.
        for group in groups {
            var request = rd_kafka_DeleteGroup_new(group)
            defer { rd_kafka_DeleteGroup_destroy(request) }
            try ask(RD_KAFKA_ADMIN_OP_DELETEGROUPS, within: time) { options, queue in
                rd_kafka_DeleteGroups(handle, &request, 1, options, queue)
            } read: { _ throws(KafkaFailure) in
            }
        }
    }

    /// Asks for the settings of topics; blocks.
    ///
    /// - Returns: The settings of each topic, in order; none where the broker does not tell them.
    func settings(of topics: [String], within time: Duration) throws(KafkaFailure) -> [[String: String]] {
        if topics.isEmpty { return [] }
        var requests: [OpaquePointer?] = topics.map { rd_kafka_ConfigResource_new(RD_KAFKA_RESOURCE_TOPIC, $0) }
        defer { for request in requests { rd_kafka_ConfigResource_destroy(request) } }
        return try ask(RD_KAFKA_ADMIN_OP_DESCRIBECONFIGS, within: time) { options, queue in
            rd_kafka_DescribeConfigs(handle, &requests, requests.count, options, queue)
        } read: { (event) throws(KafkaFailure) in
            var count = 0
            guard let result = rd_kafka_event_DescribeConfigs_result(event),
                let answers = rd_kafka_DescribeConfigs_result_resources(result, &count)
            else { throw Self.failure(RD_KAFKA_RESP_ERR__BAD_MSG) }
            var found: [String: [String: String]] = [:]
            for index in 0..<count {
                guard let answer = answers[index], let name = rd_kafka_ConfigResource_name(answer),
                    rd_kafka_ConfigResource_error(answer) == RD_KAFKA_RESP_ERR_NO_ERROR
                else { continue }
                var entries = 0
                guard let list = rd_kafka_ConfigResource_configs(answer, &entries) else { continue }
                var settings: [String: String] = [:]
                for position in 0..<entries {
                    guard let entry = list[position], let key = rd_kafka_ConfigEntry_name(entry),
                        let value = rd_kafka_ConfigEntry_value(entry)
                    else { continue }
                    settings[String(cString: key)] = String(cString: value)
                }
                found[String(cString: name)] = settings
            }
            return topics.map { found[$0] ?? [:] }
        }
    }

    /// Removes the records below given offsets for good; blocks.
    func deleteRecords(below positions: [KafkaPosition], within time: Duration) throws(KafkaFailure) {
        if positions.isEmpty { return }
        let list = Self.list(positions)
        var request = rd_kafka_DeleteRecords_new(list)
        rd_kafka_topic_partition_list_destroy(list)
        defer { rd_kafka_DeleteRecords_destroy(request) }
        try ask(RD_KAFKA_ADMIN_OP_DELETERECORDS, within: time) { options, queue in
            rd_kafka_DeleteRecords(handle, &request, 1, options, queue)
        } read: { (event) throws(KafkaFailure) in
            guard let result = rd_kafka_event_DeleteRecords_result(event),
                let offsets = rd_kafka_DeleteRecords_result_offsets(result)
            else { return }
            for index in 0..<Int(offsets.pointee.cnt) { try Self.check(offsets.pointee.elems[index].err) }
        }
    }

    /// Sends an admin request and waits for its answer on a queue of its own.
    private func ask<Answer>(
        _ operation: rd_kafka_admin_op_t,
        within time: Duration,
        send: (OpaquePointer?, OpaquePointer) -> Void,
        read: (OpaquePointer) throws(KafkaFailure) -> Answer
    ) throws(KafkaFailure) -> Answer {
        guard let answers = rd_kafka_queue_new(handle) else { throw Self.noMemory }
        defer { rd_kafka_queue_destroy(answers) }
        let options = rd_kafka_AdminOptions_new(handle, operation)
        defer { rd_kafka_AdminOptions_destroy(options) }
        var text = [CChar](repeating: 0, count: 256)
        let limit = max(1000, Self.milliseconds(time))
        rd_kafka_AdminOptions_set_request_timeout(options, limit, &text, text.count)
        if operation == RD_KAFKA_ADMIN_OP_CREATETOPICS || operation == RD_KAFKA_ADMIN_OP_DELETERECORDS
            || operation == RD_KAFKA_ADMIN_OP_DELETETOPICS
        {
            rd_kafka_AdminOptions_set_operation_timeout(options, limit, &text, text.count)
        }
        send(options, answers)
        // The request has its own timeout; the margin is for a library that is late with it.
        guard let event = rd_kafka_queue_poll(answers, limit + 2000) else {
            throw Self.failure(RD_KAFKA_RESP_ERR__TIMED_OUT)
        }
        defer { rd_kafka_event_destroy(event) }
        let code = rd_kafka_event_error(event)
        if code != RD_KAFKA_RESP_ERR_NO_ERROR {
            throw Self.failure(code, rd_kafka_event_error_string(event).map { String(cString: $0) })
        }
        return try read(event)
    }

    // MARK: - Lists

    private static func list(_ positions: [KafkaPosition]) -> UnsafeMutablePointer<rd_kafka_topic_partition_list_t> {
        // librdkafka ends the process itself when it gets no memory.
        let list = rd_kafka_topic_partition_list_new(Int32(clamping: positions.count))
        for position in positions {
            let element = rd_kafka_topic_partition_list_add(list, position.place.topic, position.place.partition)
            element?.pointee.offset = position.offset
            if let metadata = position.metadata, !metadata.isEmpty {
                // Freed with the list, by free().
                element?.pointee.metadata = UnsafeMutableRawPointer(strdup(metadata))
                element?.pointee.metadata_size = metadata.utf8.count
            }
        }
        rd_kafka_topic_partition_list_sort(list, nil, nil)
        return list.unsafelyUnwrapped
    }

    private static func positions(_ list: UnsafePointer<rd_kafka_topic_partition_list_t>?) -> [KafkaPosition] {
        guard let list else { return [] }
        return (0..<Int(list.pointee.cnt)).map { index in
            let element = list.pointee.elems[index]
            let metadata = bytes(element.metadata, element.metadata_size)
            return KafkaPosition(
                place: TopicPartition(topic: String(cString: element.topic), partition: element.partition),
                offset: element.offset,
                metadata: metadata.map { String(decoding: $0, as: UTF8.self) }
            )
        }
    }

    private static func positions(
        _ list: UnsafeMutablePointer<rd_kafka_topic_partition_list_t>?
    ) -> [KafkaPosition] {
        positions(UnsafePointer(list))
    }
}
#endif

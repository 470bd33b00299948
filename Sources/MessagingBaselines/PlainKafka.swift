#if Kafka
import CRdKafka
import Messaging
import MessagingKafka

#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#else
import Darwin
#endif

extension PlainLibrary {
    /// librdkafka: produce with confirmation, and a consumer that commits as often as the backend does.
    ///
    /// - Parameter configuration: Where the brokers are.
    /// - Returns: The library.
    public static func kafka(_ configuration: KafkaConfiguration) -> PlainLibrary {
        PlainLibrary(name: "librdkafka \(String(cString: rd_kafka_version_str()))", needsQueue: true) {
            try PlainKafka(configuration, $0)
        }
    }
}

/// What a program does that uses librdkafka and nothing else, with the settings of the backend.
final class PlainKafka: PlainClient {
    private let configuration: KafkaConfiguration
    private let settings: PlainSettings
    private let body: [UInt8]
    private let id: [UInt8]
    private let producer: OpaquePointer
    private let topic: OpaquePointer
    private let reports: OpaquePointer
    private let common: [(name: String, value: String)]
    private var consumer: OpaquePointer?
    private var spread: Int32 = 0
    private var isClosed = false

    private var partitions: Int { max(1, configuration.partitions) }

    init(_ configuration: KafkaConfiguration, _ settings: PlainSettings) throws {
        self.configuration = configuration
        self.settings = settings
        body = settings.body
        id = Array((settings.identifier ?? "").utf8)
        common = Self.common(configuration)
        let producer = try Self.client(
            RD_KAFKA_PRODUCER,
            common + [
                ("enable.idempotence", "true"), ("linger.ms", "1"), ("queue.buffering.max.messages", "100000"),
                ("queue.buffering.max.kbytes", "262144"),
            ] + Self.further(configuration),
            events: RD_KAFKA_EVENT_DR
        )
        guard let topic = rd_kafka_topic_new(producer, settings.queue, nil),
            let reports = rd_kafka_queue_get_main(producer)
        else {
            rd_kafka_destroy(producer)
            throw Self.failure("the topic")
        }
        self.producer = producer
        self.topic = topic
        self.reports = reports
    }

    /// As the backend has them, KafkaConfiguration.swift; those that only matter when something fails are left out.
    private static func common(_ configuration: KafkaConfiguration) -> [(name: String, value: String)] {
        var list: [(name: String, value: String)] = [
            ("bootstrap.servers", configuration.servers.joined(separator: ",")), ("socket.nagle.disable", "true"),
            ("message.max.bytes", String(configuration.maxBodyBytes + 512 << 10)), ("log_level", "0"),
            (
                "security.protocol",
                (configuration.username == nil ? "" : "sasl_") + (configuration.tls == nil ? "plaintext" : "ssl")
            ),
        ]
        if let file = configuration.tls?.caFile { list.append(("ssl.ca.location", file)) }
        if let file = configuration.tls?.certificateFile { list.append(("ssl.certificate.location", file)) }
        if let file = configuration.tls?.keyFile { list.append(("ssl.key.location", file)) }
        if let user = configuration.username {
            list += [
                ("sasl.mechanism", configuration.mechanism.rawValue), ("sasl.username", user),
                ("sasl.password", configuration.password ?? ""),
            ]
        }
        return list
    }

    private static func further(_ configuration: KafkaConfiguration) -> [(name: String, value: String)] {
        configuration.settings.sorted { $0.key < $1.key }.map { ($0.key, $0.value) }
    }

    private static func client(
        _ type: rd_kafka_type_t,
        _ settings: [(name: String, value: String)],
        events: Int32
    ) throws -> OpaquePointer {
        let configuration = rd_kafka_conf_new()
        for (name, value) in settings {
            guard rd_kafka_conf_set(configuration, name, value, nil, 0) == RD_KAFKA_CONF_OK else {
                rd_kafka_conf_destroy(configuration)
                throw failure("the setting \(name)")
            }
        }
        rd_kafka_conf_set_events(configuration, events)
        guard let client = rd_kafka_new(type, configuration, nil, 0) else {
            rd_kafka_conf_destroy(configuration)
            throw failure("making a client")
        }
        return client
    }

    /// Writes records, a window at a time, each window to one partition.
    func publish(_ count: Int) throws {
        var left = count
        while left > 0 {
            let part = min(left, settings.window)
            try produce(part)
            left -= part
        }
    }

    private func produce(_ count: Int) throws {
        spread = (spread + 1) % Int32(partitions)
        let end = ContinuousClock.now + PlainLimits.answer
        var waiting = count
        try body.withUnsafeBytes { body in
            for _ in 0..<count {
                var headers: OpaquePointer?
                if !id.isEmpty {
                    headers = rd_kafka_headers_new(1)
                    rd_kafka_header_add(headers, "mq-id", 5, id, id.count)
                }
                while true {
                    let code = mq_produce(producer, topic, spread, nil, 0, body.baseAddress, body.count, headers, 0)
                    if code == RD_KAFKA_RESP_ERR_NO_ERROR { break }
                    guard code == RD_KAFKA_RESP_ERR__QUEUE_FULL, ContinuousClock.now < end else {
                        if let headers { rd_kafka_headers_destroy(headers) }
                        throw Self.failure("producing: \(String(cString: rd_kafka_err2name(code)))")
                    }
                    waiting -= try take(100)
                }
            }
        }
        while waiting > 0 {
            guard ContinuousClock.now < end else { throw Self.failure("\(waiting) confirmations did not come in time") }
            waiting -= try take(1000)
        }
    }

    private func take(_ milliseconds: Int32) throws -> Int {
        guard let event = rd_kafka_queue_poll(reports, milliseconds) else { return 0 }
        defer { rd_kafka_event_destroy(event) }
        var count = 0
        while let message = rd_kafka_event_message_next(event) {
            guard message.pointee.err == RD_KAFKA_RESP_ERR_NO_ERROR else {
                throw Self.failure("a record: \(String(cString: rd_kafka_err2name(message.pointee.err)))")
            }
            count += 1
        }
        return count
    }

    /// Reads records, touches what is in them, and commits as often as the backend does, and at the end.
    func consume(_ count: Int) throws {
        let consumer = try subscribed()
        let clock = ContinuousClock()
        var taken = 0
        var (bytes, ids) = (0, 0)
        var next = [Int64](repeating: -1, count: partitions)
        var last = clock.now
        var end = clock.now + PlainLimits.answer
        while taken < count {
            guard clock.now < end else { throw Self.failure("\(count - taken) records did not come in time") }
            guard let message = rd_kafka_consumer_poll(consumer, 1000) else { continue }
            defer { rd_kafka_message_destroy(message) }
            guard message.pointee.err == RD_KAFKA_RESP_ERR_NO_ERROR else { continue }
            bytes += message.pointee.len
            // Whoever writes ids reads them, too.
            if !id.isEmpty { ids += idLength(message) }
            let partition = Int(message.pointee.partition)
            guard next.indices.contains(partition) else { throw Self.failure("a partition that it does not know") }
            next[partition] = message.pointee.offset + 1
            taken += 1
            if taken % 100 == 0 {
                let now = clock.now
                end = now + PlainLimits.answer
                if now - last >= configuration.commitInterval {
                    last = now
                    commit(consumer, next, isAsync: 1)
                }
            }
        }
        commit(consumer, next, isAsync: 0)
        guard bytes >= count * settings.size, ids >= count * id.count else {
            throw Self.failure("bodies or ids are too short")
        }
    }

    private func idLength(_ message: UnsafeMutablePointer<rd_kafka_message_t>) -> Int {
        var headers: OpaquePointer?
        guard rd_kafka_message_headers(message, &headers) == RD_KAFKA_RESP_ERR_NO_ERROR, let headers else { return 0 }
        var value: UnsafeRawPointer?
        var size = 0
        _ = rd_kafka_header_get_last(headers, "mq-id", &value, &size)
        return size
    }

    private func subscribed() throws -> OpaquePointer {
        if let consumer { return consumer }
        let maxBytes = String(max(1 << 20, configuration.maxBodyBytes + 512 << 10))
        let consumer = try Self.client(
            RD_KAFKA_CONSUMER,
            common + [
                ("group.id", settings.queue), ("enable.auto.commit", "false"), ("enable.auto.offset.store", "false"),
                ("auto.offset.reset", "earliest"), ("isolation.level", "read_committed"),
                ("queued.min.messages", "5000"), ("queued.max.messages.kbytes", "8192"),
                ("fetch.message.max.bytes", maxBytes), ("fetch.wait.max.ms", "100"),
            ] + Self.further(configuration),
            events: 0
        )
        rd_kafka_poll_set_consumer(consumer)
        let list = rd_kafka_topic_partition_list_new(1)
        defer { rd_kafka_topic_partition_list_destroy(list) }
        rd_kafka_topic_partition_list_add(list, settings.queue, -1)
        guard rd_kafka_subscribe(consumer, list) == RD_KAFKA_RESP_ERR_NO_ERROR else {
            rd_kafka_destroy(consumer)
            throw Self.failure("subscribing")
        }
        self.consumer = consumer
        return consumer
    }

    private func commit(_ consumer: OpaquePointer, _ next: [Int64], isAsync: Int32) {
        let list = rd_kafka_topic_partition_list_new(Int32(partitions))
        defer { rd_kafka_topic_partition_list_destroy(list) }
        for (partition, offset) in next.enumerated() where offset >= 0 {
            rd_kafka_topic_partition_list_add(list, settings.queue, Int32(partition))?.pointee.offset = offset
        }
        _ = rd_kafka_commit(consumer, list, isAsync)
    }

    func close() {
        guard !isClosed else { return }
        isClosed = true
        if let consumer {
            rd_kafka_consumer_close(consumer)
            rd_kafka_destroy(consumer)
        }
        rd_kafka_queue_destroy(reports)
        rd_kafka_topic_destroy(topic)
        rd_kafka_destroy(producer)
    }

    private static func failure(_ step: String) -> QueueError { QueueError.plain("librdkafka", step) }
}
#endif

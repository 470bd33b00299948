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

/// What a program does that uses librdkafka and nothing else, with the settings of the backend: the measure for it.
final class PlainKafka {
    private struct Failure: Error {
        var step: String
    }

    private let producer: OpaquePointer
    private let topic: OpaquePointer
    private let reports: OpaquePointer
    private let name: String
    private let partitions: Int32
    /// What each record has as a header; without one nobody looks for headers either.
    private let id: [UInt8]?
    private let settings: [(String, String)]
    private var consumer: OpaquePointer?
    private var spread: Int32 = 0

    init(servers: [String], topic name: String, partitions: Int32, id: [UInt8]?) throws {
        self.name = name
        self.id = id
        self.partitions = partitions
        // As the backend has them, KafkaConfiguration.swift; those that only matter when something fails are left out.
        settings = [
            ("bootstrap.servers", servers.joined(separator: ",")), ("socket.nagle.disable", "true"),
            ("message.max.bytes", "1572864"), ("log_level", "0"),
        ]
        producer = try Self.client(
            RD_KAFKA_PRODUCER,
            settings + [
                ("enable.idempotence", "true"), ("linger.ms", "1"), ("queue.buffering.max.messages", "100000"),
                ("queue.buffering.max.kbytes", "262144"),
            ],
            events: RD_KAFKA_EVENT_DR
        )
        guard let topic = rd_kafka_topic_new(producer, name, nil), let reports = rd_kafka_queue_get_main(producer)
        else {
            throw Failure(step: "topic")
        }
        self.topic = topic
        self.reports = reports
    }

    private static func client(
        _ type: rd_kafka_type_t,
        _ settings: [(String, String)],
        events: Int32
    ) throws -> OpaquePointer {
        let configuration = rd_kafka_conf_new()
        for (key, value) in settings {
            guard rd_kafka_conf_set(configuration, key, value, nil, 0) == RD_KAFKA_CONF_OK else {
                throw Failure(step: key)
            }
        }
        rd_kafka_conf_set_events(configuration, events)
        guard let client = rd_kafka_new(type, configuration, nil, 0) else { throw Failure(step: "client") }
        return client
    }

    /// Writes records of a body, and waits until all are confirmed.
    func publish(_ count: Int, _ body: [UInt8]) throws {
        spread = (spread + 1) % partitions
        var waiting = count
        try body.withUnsafeBytes { body in
            for _ in 0..<count {
                var headers: OpaquePointer?
                if let id {
                    headers = rd_kafka_headers_new(1)
                    rd_kafka_header_add(headers, "mq-id", 5, id, id.count)
                }
                while true {
                    let code = mq_produce(producer, topic, spread, nil, 0, body.baseAddress, body.count, headers, 0)
                    if code == RD_KAFKA_RESP_ERR_NO_ERROR { break }
                    guard code == RD_KAFKA_RESP_ERR__QUEUE_FULL else { throw Failure(step: "produce") }
                    waiting -= try take(100)
                }
            }
        }
        while waiting > 0 { waiting -= try take(1000) }
    }

    private func take(_ milliseconds: Int32) throws -> Int {
        guard let event = rd_kafka_queue_poll(reports, milliseconds) else { return 0 }
        defer { rd_kafka_event_destroy(event) }
        var count = 0
        while let message = rd_kafka_event_message_next(event) {
            guard message.pointee.err == RD_KAFKA_RESP_ERR_NO_ERROR else { throw Failure(step: "report") }
            count += 1
        }
        return count
    }

    func subscribe() throws {
        let consumer = try Self.client(
            RD_KAFKA_CONSUMER,
            settings + [
                ("group.id", name), ("enable.auto.commit", "false"), ("enable.auto.offset.store", "false"),
                ("auto.offset.reset", "earliest"), ("isolation.level", "read_committed"),
                ("queued.min.messages", "5000"), ("queued.max.messages.kbytes", "8192"),
                ("fetch.message.max.bytes", "1572864"), ("fetch.wait.max.ms", "100"),
            ],
            events: 0
        )
        self.consumer = consumer
        rd_kafka_poll_set_consumer(consumer)
        let list = rd_kafka_topic_partition_list_new(1)
        defer { rd_kafka_topic_partition_list_destroy(list) }
        rd_kafka_topic_partition_list_add(list, name, -1)
        guard rd_kafka_subscribe(consumer, list) == RD_KAFKA_RESP_ERR_NO_ERROR else { throw Failure(step: "subscribe") }
    }

    /// Reads records, touches what is in them, and commits every 100 ms as the backend does, and at the end.
    func consume(_ count: Int) throws {
        guard let consumer else { throw Failure(step: "subscribe") }
        var taken = 0
        var bytes = 0
        var next = [Int64](repeating: -1, count: Int(partitions))
        let clock = ContinuousClock()
        var last = clock.now
        let end = clock.now + .seconds(60)
        while taken < count {
            guard clock.now < end else { throw Failure(step: "consume") }
            guard let message = rd_kafka_consumer_poll(consumer, 1000) else { continue }
            defer { rd_kafka_message_destroy(message) }
            guard message.pointee.err == RD_KAFKA_RESP_ERR_NO_ERROR else { continue }
            bytes += message.pointee.len
            if id != nil { bytes += idLength(message) }
            next[Int(message.pointee.partition)] = message.pointee.offset + 1
            taken += 1
            if taken % 100 == 0, clock.now - last >= .milliseconds(100) {
                last = clock.now
                commit(consumer, next, isAsync: 1)
            }
        }
        commit(consumer, next, isAsync: 0)
        guard bytes > 0 else { throw Failure(step: "bytes") }
    }

    private func idLength(_ message: UnsafeMutablePointer<rd_kafka_message_t>) -> Int {
        var headers: OpaquePointer?
        guard rd_kafka_message_headers(message, &headers) == RD_KAFKA_RESP_ERR_NO_ERROR, let headers else { return 0 }
        var value: UnsafeRawPointer?
        var size = 0
        _ = rd_kafka_header_get_last(headers, "mq-id", &value, &size)
        return size
    }

    private func commit(_ consumer: OpaquePointer, _ next: [Int64], isAsync: Int32) {
        let list = rd_kafka_topic_partition_list_new(partitions)
        defer { rd_kafka_topic_partition_list_destroy(list) }
        for (partition, offset) in next.enumerated() where offset >= 0 {
            rd_kafka_topic_partition_list_add(list, name, Int32(partition))?.pointee.offset = offset
        }
        _ = rd_kafka_commit(consumer, list, isAsync)
    }

    func close() {
        if let consumer {
            rd_kafka_consumer_close(consumer)
            rd_kafka_destroy(consumer)
        }
        rd_kafka_queue_destroy(reports)
        rd_kafka_topic_destroy(topic)
        rd_kafka_destroy(producer)
    }
}
#endif

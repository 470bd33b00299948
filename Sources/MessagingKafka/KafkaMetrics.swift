#if Kafka
import Foundation
import Messaging
import Metrics

/// What librdkafka counts of one client; https://github.com/confluentinc/librdkafka/blob/v2.0.2/STATISTICS.md.
struct KafkaFigures: Decodable, Equatable {
    struct Window: Decodable, Equatable {
        /// Microseconds.
        var avg: Int64
    }

    struct Broker: Decodable, Equatable {
        var nodeid: Int32
        var rtt: Window?
    }

    struct Partition: Decodable, Equatable {
        var consumer_lag: Int64?
    }

    struct Topic: Decodable, Equatable {
        var partitions: [String: Partition]?
    }

    struct Group: Decodable, Equatable {
        var rebalance_cnt: Int64?
    }

    /// Records that wait in a producer.
    var msg_cnt: Int64?
    var msg_size: Int64?
    var tx_bytes: Int64?
    var rx_bytes: Int64?
    var brokers: [String: Broker]?
    var topics: [String: Topic]?
    var cgrp: Group?

    /// Reads a report of librdkafka; `nil` when it is none.
    init?(_ text: String) {
        guard let figures = try? JSONDecoder().decode(KafkaFigures.self, from: Data(text.utf8)) else { return nil }
        self = figures
    }

    /// How far the group is behind in the partitions of this client; `nil` while nobody knows.
    var lag: Int64? {
        let known = (topics ?? [:]).values.flatMap { ($0.partitions ?? [:]).values }.compactMap(\.consumer_lag)
            .filter { $0 >= 0 }
        return known.isEmpty ? nil : known.reduce(0, +)
    }
}

/// Hands librdkafka's figures on as metrics.
struct KafkaMetrics: Sendable {
    /// The queue and group of a member; nothing for the client that publishes.
    let dimensions: [(String, String)]

    init(queue: String? = nil, group: String? = nil) {
        var dimensions = [(MetricNames.system, "kafka")]
        if let queue { dimensions.append((MetricNames.destination, queue)) }
        if let group { dimensions.append((MetricNames.group, group)) }
        self.dimensions = dimensions
    }

    /// What is reported of some figures, by name and further dimension.
    static func values(_ figures: KafkaFigures, isMember: Bool) -> [(name: String, node: Int32?, value: Double)] {
        var values: [(name: String, node: Int32?, value: Double)] = []
        func add(_ name: String, _ value: Int64?) {
            if let value { values.append((name, nil, Double(value))) }
        }
        add(isMember ? "mq.kafka.member.sent.bytes" : "mq.kafka.producer.sent.bytes", figures.tx_bytes)
        add(isMember ? "mq.kafka.member.received.bytes" : "mq.kafka.producer.received.bytes", figures.rx_bytes)
        if isMember {
            add("mq.kafka.member.rebalances", figures.cgrp?.rebalance_cnt)
            add("mq.kafka.member.lag", figures.lag)
        } else {
            add("mq.kafka.producer.queue.messages", figures.msg_cnt)
            add("mq.kafka.producer.queue.bytes", figures.msg_size)
        }
        for broker in (figures.brokers ?? [:]).values.sorted(by: { $0.nodeid < $1.nodeid }) where broker.nodeid >= 0 {
            guard let rtt = broker.rtt, rtt.avg > 0 else { continue }
            values.append(("mq.kafka.broker.rtt", broker.nodeid, Double(rtt.avg) / 1_000_000))
        }
        return values
    }

    func report(_ text: String) {
        guard let figures = KafkaFigures(text) else { return }
        for (name, node, value) in Self.values(figures, isMember: dimensions.count > 1) {
            let further = node.map { [("mq.kafka.broker", String($0))] } ?? []
            Gauge(label: name, dimensions: dimensions + further).record(value)
        }
    }
}
#endif

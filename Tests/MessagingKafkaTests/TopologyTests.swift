import Foundation
import Messaging
import Testing

@testable import MessagingKafka

@Suite("What Kafka's registry, topics and figures say")
struct TopologyTests {
    private func record(_ offset: Int64, _ key: String, _ value: String?, made: String? = nil) -> KafkaRecord {
        let headers = made.map { [KafkaHeader(name: KafkaRegistry.madeHeader, value: Array($0.utf8))] } ?? []
        let payload = KafkaPayload(key: Array(key.utf8), value: value.map { Array($0.utf8) }, headers: headers)
        return KafkaRecord(partition: 0, offset: offset, timestamp: nil, payload: payload)
    }

    private func queue(_ name: String, partitions: Int) throws -> String {
        let record = KafkaRegistry.QueueRecord(
            queue: name,
            dedupeMs: 0,
            retentionMs: 0,
            isKeyed: false,
            partitions: partitions
        )
        return String(decoding: try JSONEncoder().encode(record), as: UTF8.self)
    }

    @Test("the first record of a queue counts, until it is deleted; then the next one does")
    func registry() throws {
        var table = KafkaRegistry.Table()
        table.apply(record(0, "a", try queue("a", partitions: 1)))
        table.apply(record(1, "a", try queue("a", partitions: 2)))
        #expect(table.entries["a"]?.partitions == 1 && table.entries["a"]?.made == 0)
        table.apply(record(2, "a", nil, made: "0"))
        #expect(table.entries["a"] == nil)
        table.apply(record(3, "a", try queue("a", partitions: 3)))
        #expect(table.entries["a"]?.partitions == 3 && table.entries["a"]?.made == 3)
        table.apply(record(4, "a", nil, made: "0"))
        #expect(table.entries["a"] != nil, "a deletion that was late means the queue of before")
        table.apply(record(5, "a", nil))
        #expect(table.entries["a"] == nil && table.next == 6)
        table.apply(record(6, "a", "no json"))
        #expect(table.entries.isEmpty)
        table.apply(record(7, "a", try queue("a", partitions: 1)))
        table.apply(record(8, "a", #"{"format":1,"deleting":3}"#))
        #expect(table.entries["a"]?.isDeleting == false)
        table.apply(record(9, "a", #"{"format":1,"deleting":7}"#))
        #expect(table.entries["a"]?.isDeleting == true)
    }

    @Test("what was committed for an earlier queue of the same name says nothing")
    func earlierQueue() {
        var note = CommitNote()
        note.made = 7
        let place = TopicPartition(topic: "a", partition: 0)
        let position = KafkaPosition(place: place, offset: 5, metadata: note.text(base: 5))
        #expect(CommitNote(position.metadata, base: 5).made == 7)
        #expect(CommitNote.current(position, made: 7) == position)
        #expect(CommitNote.current(position, made: 8).offset == KafkaPosition.none)
        let foreign = KafkaPosition(place: place, offset: 5, metadata: "")
        #expect(CommitNote.current(foreign, made: 8) == foreign, "set by somebody's tool")
    }

    @Test("settings that lose messages are drift, and what the broker does not tell is not")
    func drift() {
        let topic = KafkaQueue.topic("orders", 3, KafkaConfiguration(), brokers: 3)
        #expect(TopicDrift.problems(topic, found: topic.settings).isEmpty)
        #expect(TopicDrift.problems(topic, found: [:]).isEmpty)
        #expect(TopicDrift.problems(topic, found: ["min.insync.replicas": "3"]).isEmpty, "safer than wanted")
        let found = [
            "retention.ms": "604800000", "cleanup.policy": "compact", "min.insync.replicas": "1",
            "unclean.leader.election.enable": "true",
        ]
        let problems = TopicDrift.problems(topic, found: found)
        #expect(problems.count == 4)
        #expect(problems.contains("'orders' has retention.ms=604800000, and not -1"))
    }

    @Test func topicsOfOneAndOfThreeBrokers() {
        let one = KafkaQueue.topic("a", 4, KafkaConfiguration(), brokers: 1)
        #expect(one.replication == 1 && one.settings["min.insync.replicas"] == "1" && one.partitions == 4)
        let three = KafkaQueue.topic("a", 4, KafkaConfiguration(), brokers: 5)
        #expect(three.replication == 3 && three.settings["min.insync.replicas"] == "2")
        #expect(three.settings["retention.ms"] == "-1" && three.settings["cleanup.policy"] == "delete")
    }

    @Test("librdkafka's figures become metrics; what it does not know is left out")
    func figures() throws {
        let text = """
            {"name":"x","type":"consumer","msg_cnt":3,"msg_size":400,"tx_bytes":10,"rx_bytes":20,"further":[1],
             "brokers":{"a:1/1":{"name":"a:1/1","nodeid":1,"rtt":{"avg":2500}},
                        "a:1/bootstrap":{"nodeid":-1,"rtt":{"avg":9}},"b":{"nodeid":2,"rtt":{"avg":0}}},
             "topics":{"t":{"partitions":{"0":{"consumer_lag":4},"1":{"consumer_lag":-1},"-1":{}}}},
             "cgrp":{"state":"up","rebalance_cnt":2}}
            """
        let figures = try #require(KafkaFigures(text))
        #expect(figures.lag == 4)
        let member = KafkaMetrics.values(figures, isMember: true)
        #expect(
            member.map(\.name) == [
                "mq.kafka.member.sent.bytes", "mq.kafka.member.received.bytes", "mq.kafka.member.rebalances",
                "mq.kafka.member.lag", "mq.kafka.broker.rtt",
            ]
        )
        #expect(member.map(\.value) == [10, 20, 2, 4, 0.0025] && member.last?.node == 1)
        let producer = KafkaMetrics.values(figures, isMember: false)
        #expect(producer.map(\.value) == [10, 20, 3, 400, 0.0025])
        #expect(KafkaFigures("nonsense") == nil)
        #expect(KafkaMetrics.values(try #require(KafkaFigures("{}")), isMember: true).isEmpty)
    }
}

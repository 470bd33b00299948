#if Kafka
import CRdKafka

extension KafkaClient {
    /// Joins the group for these topics.
    func subscribe(_ topics: [String]) throws(KafkaFailure) {
        let list = PartitionList.make(
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
        let list = PartitionList.make(positions)
        defer { rd_kafka_topic_partition_list_destroy(list) }
        // What lies there still is of partitions that were given back: between two assignments nothing is read. librdkafka
        // passes it over by itself; a gap in the offsets would be taken for records that are gone.
        while let store, let event = rd_kafka_queue_poll(store, 0) { rd_kafka_event_destroy(event) }
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
        let list = PartitionList.make(places.map { KafkaPosition(place: $0, offset: KafkaPosition.none) })
        defer { rd_kafka_topic_partition_list_destroy(list) }
        try Self.check(rd_kafka_committed(handle, list, Self.milliseconds(time)))
        for index in 0..<Int(list.pointee.cnt) { try Self.check(list.pointee.elems[index].err) }
        return PartitionList.positions(list)
    }

    /// Commits; a ``KafkaEvent/committed(_:)`` follows.
    func commit(_ positions: [KafkaPosition]) throws(KafkaFailure) {
        let list = PartitionList.make(positions)
        defer { rd_kafka_topic_partition_list_destroy(list) }
        try Self.check(rd_kafka_commit_queue(handle, list, queue, nil, nil))
    }

    /// Commits and blocks until the broker has answered.
    func commitNow(_ positions: [KafkaPosition]) throws(KafkaFailure) {
        let list = PartitionList.make(positions)
        defer { rd_kafka_topic_partition_list_destroy(list) }
        try Self.check(rd_kafka_commit(handle, list, 0))
    }

    /// Stops fetching partitions for a while.
    func pause(_ places: [TopicPartition]) {
        let list = PartitionList.make(places.map { KafkaPosition(place: $0, offset: KafkaPosition.none) })
        defer { rd_kafka_topic_partition_list_destroy(list) }
        rd_kafka_pause_partitions(handle, list)
    }

    /// Fetches partitions again.
    func resume(_ places: [TopicPartition]) {
        let list = PartitionList.make(places.map { KafkaPosition(place: $0, offset: KafkaPosition.none) })
        defer { rd_kafka_topic_partition_list_destroy(list) }
        rd_kafka_resume_partitions(handle, list)
    }

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
            records.append(RecordReader.record(message))
            if message.pointee.offset == range.upperBound - 1 { return records }
        }
        return records
    }

    private static func isPassing(_ code: rd_kafka_resp_err_t) -> Bool {
        code == RD_KAFKA_RESP_ERR__TRANSPORT || code == RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN
            || code == RD_KAFKA_RESP_ERR__RESOLVE || code == RD_KAFKA_RESP_ERR_COORDINATOR_NOT_AVAILABLE
    }
}
#endif

#if Kafka
import CRdKafka
import Foundation

extension KafkaClient {
    /// What the broker says of itself and of topics.
    struct Metadata: Sendable {
        var brokers = 0
        var broker = ""
        /// The number of partitions of each topic that exists.
        var partitions: [String: Int] = [:]
        /// On how many brokers each of them is, where it is on the fewest.
        var replicas: [String: Int] = [:]
    }

    /// How long a change of the topics takes to reach every broker of a cluster (Kafka's KIP-1166 names 500 ms), with a
    /// margin.
    static let spreading: Duration = .milliseconds(600)
    /// Between two looks at topics; no broker tells when it has heard of one.
    private static let look: Duration = .milliseconds(50)

    /// Asks how many partitions topics have, without those that are missing; blocks.
    ///
    /// Of several brokers any can answer, also one that has not heard of a new topic yet: what is missing is looked for until
    /// all must have heard.
    func partitions(of names: [String], within time: Duration) throws(KafkaFailure) -> [String: Int] {
        let end = ContinuousClock.now + min(time, Self.spreading)
        var partitions: [String: Int] = [:]
        while true {
            var brokers = 0
            for name in names where partitions[name] == nil {
                let found = try metadata(name, within: time)
                brokers = max(brokers, found.brokers)
                if let count = found.partitions[name], count > 0 { partitions[name] = count }
            }
            if partitions.count == names.count || brokers < 2 || ContinuousClock.now >= end { return partitions }
            Self.pause()
        }
    }

    /// Waits until it is worth looking again; blocks.
    static func pause() { Thread.sleep(forTimeInterval: look / .seconds(1)) }

    /// Asks for all topics, or for one; blocks.
    ///
    /// - Throws: `KafkaFailure` when no broker answers in time, or this client may not ask for the topic.
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
            // It may be there; to take it for missing would be wrong.
            if only != nil, topic.err == RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED { try Self.check(topic.err) }
            if topic.err == RD_KAFKA_RESP_ERR_NO_ERROR, let name = topic.topic.map({ String(cString: $0) }) {
                metadata.partitions[name] = Int(topic.partition_cnt)
                let copies = (0..<Int(topic.partition_cnt)).map { Int(topic.partitions[$0].replica_cnt) }
                metadata.replicas[name] = copies.min()
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
        let list = PartitionList.make(positions)
        defer { rd_kafka_topic_partition_list_destroy(list) }
        try Self.check(rd_kafka_offsets_for_times(handle, list, Self.milliseconds(time)))
        for index in 0..<Int(list.pointee.cnt) { try Self.check(list.pointee.elems[index].err) }
        return Dictionary(PartitionList.positions(list).map { ($0.place, $0.offset) }) { first, _ in first }
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
        let list = PartitionList.make(positions)
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
}
#endif

#if Kafka
import Logging
import Messaging

extension KafkaQueue {
    // swift-format-ignore: AllPublicDeclarationsHaveDocumentation
    public func declare(_ definition: QueueDefinition) async throws(QueueError) {
        try definition.validate()
        try checkOpen()
        if definition.maxReady != nil { throw KafkaProbe.unsupported(.boundedQueue, definition.name) }
        let brokers = try await ensureRegistry()
        let existing = try await registry.current()[definition.name]
        if existing == nil, let remains = registry.remains(of: definition.name) { try await finishDeleting(remains) }
        if let existing { try Self.check(existing.definition, against: definition) }
        let main = KafkaNames.main(definition.name)
        if configuration.checksTopics { try await checkTopics(of: definition, existing, brokers: brokers) }
        let partitions = try await create(definition, existing, brokers: brokers)
        if existing == nil {
            let record = KafkaRegistry.QueueRecord(
                queue: definition.name,
                dedupeMs: definition.dedupeWindow.milliseconds,
                retentionMs: definition.retention.milliseconds,
                isKeyed: definition.ordering == .keyed,
                partitions: partitions
            )
            try await registry.write(record, key: definition.name, queue: definition.name)
        } else if let existing, definition.ordering == .keyed, existing.partitions != partitions {
            throw QueueError(
                .topologyConflict,
                "the topic '\(main)' has \(partitions) partitions, it had \(existing.partitions) when it was declared: "
                    + "keys are in other lanes now. Move the queue to a new name",
                queue: definition.name
            )
        }
        for group in definition.groups
        where existing?.definition.groups.contains(where: { $0.name == group.name }) != true {
            let floor = try await floor(group, main, partitions, definition)
            let record = KafkaRegistry.GroupRecord(
                queue: definition.name,
                group: group.name,
                leaseMs: group.lease.milliseconds,
                maxAttempts: group.maxAttempts,
                floor: floor
            )
            let key = "\(definition.name)@\(group.name)"
            try await registry.write(record, key: key, queue: definition.name)
        }
        // Another client may have been first; then its settings count.
        guard let found = try await registry.current()[definition.name] else {
            throw QueueError(.brokerError, "the registry does not have what was written to it", queue: definition.name)
        }
        try Self.check(found.definition, against: definition)
    }

    /// - Throws: `topologyConflict` naming both.
    static func check(_ existing: QueueDefinition, against wanted: QueueDefinition) throws(QueueError) {
        var differences = existing.differences(from: wanted)
        for group in wanted.groups {
            if let known = existing.groups.first(where: { $0.name == group.name }) {
                differences += known.differences(from: group)
            }
        }
        guard !differences.isEmpty else { return }
        throw QueueError(
            .topologyConflict,
            "it exists with other settings: \(differences.joined(separator: "; ")); nothing was changed. Declare it as it "
                + "is, or use another name",
            queue: existing.name
        )
    }

    /// Looks at the topics that are there already: with other settings they would lose messages.
    ///
    /// - Throws: `topologyConflict` naming what is wrong; nothing was changed.
    private func checkTopics(
        of definition: QueueDefinition,
        _ existing: KafkaRegistry.Entry?,
        brokers: Int
    ) async throws(QueueError) {
        let configuration = configuration
        let logger = logger
        let topics = Self.topics(of: definition, partitions: existing?.partitions ?? configuration.partitions)
            .map { Self.topic($0.name, $0.partitions, configuration, brokers: brokers) }
        let problems = try await broker.ask("asking for the topics' settings", definition.name) {
            (client, timeout) throws(KafkaFailure) -> [String] in
            var present: [KafkaTopic] = []
            for var topic in topics {
                let metadata = try client.metadata(topic.name, within: timeout)
                guard metadata.partitions[topic.name] != nil else { continue }
                // A broker that has joined since then is no matter of the topic's.
                let copies = metadata.replicas[topic.name] ?? topic.replication
                topic.settings["min.insync.replicas"] = Self.inSync(min(copies, topic.replication))
                present.append(topic)
            }
            let found: [[String: String]]
            do throws(KafkaFailure) {
                found = try client.settings(of: present.map(\.name), within: timeout)
            } catch {
                // A broker may not let everybody ask.
                logger.debug("the topics' settings could not be read", metadata: [LogKeys.error: "\(error)"])
                return []
            }
            return zip(present, found).flatMap { topic, settings in TopicDrift.problems(topic, found: settings) }
        }
        guard !problems.isEmpty else { return }
        throw QueueError(
            .topologyConflict,
            "topics of it have settings that lose messages: \(problems.joined(separator: "; ")); nothing was changed. Set "
                + "them with kafka-configs.sh, or use another name",
            queue: definition.name
        )
    }

    /// Creates the registry's topic when there is none.
    ///
    /// - Returns: The number of brokers.
    private func ensureRegistry() async throws(QueueError) -> Int {
        let configuration = configuration
        return try await broker.ask("creating the registry") { (client, timeout) throws(KafkaFailure) in
            let metadata = try client.metadata(KafkaNames.registry, within: timeout)
            guard metadata.partitions[KafkaNames.registry] == nil else { return metadata.brokers }
            try Self.create(
                [(KafkaNames.registry, 1)],
                configuration,
                brokers: metadata.brokers,
                client,
                within: timeout
            )
            return metadata.brokers
        }
    }

    /// A topic that loses nothing by itself: no time, no size, no unclean leader.
    static func topic(
        _ name: String,
        _ partitions: Int,
        _ configuration: KafkaConfiguration,
        brokers: Int
    ) -> KafkaTopic {
        let copies = KafkaProbe.replication(configuration, brokers: brokers)
        return KafkaTopic(
            name: name,
            partitions: partitions,
            replication: copies,
            settings: [
                "cleanup.policy": "delete",
                "retention.ms": "-1",
                "retention.bytes": "-1",
                "min.insync.replicas": inSync(copies),
                "unclean.leader.election.enable": "false",
                "max.message.bytes": String(configuration.maxBodyBytes + KafkaConfiguration.overhead),
            ]
        )
    }

    /// How many of so many copies must have a record before it is confirmed.
    private static func inSync(_ copies: Int) -> String { copies >= 3 ? "2" : "1" }

    /// Every topic of a queue, with the number of its partitions.
    package static func topics(of definition: QueueDefinition, partitions: Int) -> [(name: String, partitions: Int)] {
        let levels = DelayLevels.lengths.count
        var topics = [
            (KafkaNames.main(definition.name), partitions), (KafkaNames.scheduled(definition.name), levels),
            (KafkaNames.deadLetters(definition.name), 1), (KafkaNames.deadLetterStates(definition.name), 1),
            (KafkaNames.reservations(definition.name), 1),
        ]
        for group in definition.groups {
            topics.append((KafkaNames.retry(definition.name, group.name), partitions))
            topics.append((KafkaNames.delay(definition.name, group.name), levels))
        }
        return topics
    }

    /// Creates the topics that are missing.
    ///
    /// - Returns: The number of partitions of the queue's own topic.
    private func create(
        _ definition: QueueDefinition,
        _ existing: KafkaRegistry.Entry?,
        brokers: Int
    ) async throws(QueueError) -> Int {
        let configuration = configuration
        let main = KafkaNames.main(definition.name)
        return try await broker.ask("creating topics", definition.name) { (client, timeout) throws(KafkaFailure) in
            // What somebody has made beforehand decides how many partitions there are.
            var count = existing?.partitions
            if count == nil { count = try client.metadata(main, within: timeout).partitions[main] }
            let wanted = Self.topics(of: definition, partitions: count ?? configuration.partitions)
            let names = wanted.map(\.name)
            // What is there needs no right to create topics.
            let there = try client.partitions(of: names, within: timeout)
            var missing = names.filter { there[$0] == nil }
            if existing != nil, missing.contains(main) { throw Self.lost(main) }
            // Each broker has to know what is new before somebody joins the group or publishes; what was deleted, too.
            let isNew = existing == nil || !missing.isEmpty
            let spread = isNew && brokers > 1 ? KafkaClient.spreading : .zero
            var deadline: ContinuousClock.Instant?
            var changed = ContinuousClock.now
            while true {
                if !missing.isEmpty {
                    let topics = wanted.filter { missing.contains($0.name) }
                    try Self.create(topics, configuration, brokers: brokers, client, within: timeout)
                    changed = ContinuousClock.now
                    deadline = deadline ?? changed + timeout
                }
                missing = []
                for name in names where try client.metadata(name, within: timeout).partitions[name] ?? 0 == 0 {
                    missing.append(name)
                }
                if missing.isEmpty, ContinuousClock.now - changed >= spread { break }
                if let deadline, !missing.isEmpty, ContinuousClock.now >= deadline {
                    throw KafkaFailure(
                        code: -185,
                        name: "_TIMED_OUT",
                        text: "the topics of '\(main)' did not come up in time"
                    )
                }
                KafkaClient.pause()
            }
            return try client.metadata(main, within: timeout).partitions[main] ?? count ?? configuration.partitions
        }
    }

    private static func lost(_ topic: String) -> KafkaFailure {
        KafkaFailure(
            code: 3,
            name: "UNKNOWN_TOPIC_OR_PART",
            text: "the topic '\(topic)' was deleted, and what it had; delete the queue and declare it again"
        )
    }

    private static func create(
        _ topics: [(name: String, partitions: Int)],
        _ configuration: KafkaConfiguration,
        brokers seen: Int,
        _ client: KafkaClient,
        within timeout: Duration
    ) throws(KafkaFailure) {
        var left = topics
        // Of two brokers there may be a third that is down just now; then the broker takes three copies all the same.
        for brokers in configuration.replication == nil && seen == 2 ? [3, 2] : [seen] {
            let wanted = left.map { topic($0.name, $0.partitions, configuration, brokers: brokers) }
            let failures = try client.create(wanted, within: timeout)
            left = []
            for (topic, failure) in zip(wanted, failures) {
                guard let failure, failure.name != "TOPIC_ALREADY_EXISTS" else { continue }
                let isTooMany = ["INVALID_REPLICATION_FACTOR", "POLICY_VIOLATION"].contains(failure.name)
                guard isTooMany, brokers > seen else { throw failure }
                left.append((topic.name, topic.partitions))
            }
            if left.isEmpty { return }
        }
    }

    /// Where a new group begins.
    private func floor(
        _ group: GroupDefinition,
        _ topic: String,
        _ partitions: Int,
        _ definition: QueueDefinition
    ) async throws(QueueError) -> KafkaRegistry.Floor {
        let queue = definition.name
        let time: Int64
        let since: Int64
        switch group.start {
        case .earliest: return KafkaRegistry.Floor()
        case .latest: (time, since) = (KafkaPosition.end, UnixTime.milliseconds())
        case .at(let date):
            since = UnixTime.milliseconds(date)
            time = max(0, since)
        }
        let places = (0..<Int32(clamping: partitions)).map { TopicPartition(topic: topic, partition: $0) }
        let (found, isTrimmed) = try await broker.ask("asking where a group begins", queue) {
            (client, timeout) throws(KafkaFailure) in
            let begins = try client.offsets(
                places.map { KafkaPosition(place: $0, offset: KafkaPosition.beginning) },
                within: timeout
            )
            let found = try client.offsets(places.map { KafkaPosition(place: $0, offset: time) }, within: timeout)
            // No record is that young: the group begins with the next one.
            let open = places.filter { found[$0] ?? -1 < 0 }
            let ends = try client.offsets(
                open.map { KafkaPosition(place: $0, offset: KafkaPosition.end) },
                within: timeout
            )
            let offsets = places.map { max(0, open.contains($0) ? ends[$0] ?? 0 : found[$0] ?? 0) }
            return (offsets, begins.contains { $0.value > 0 })
        }
        if isTrimmed, case .at(let date) = group.start {
            let complete = UnixTime.milliseconds() - min(definition.retention.milliseconds, DelayLevels.longest)
            if since < complete {
                throw .positionTrimmed(group: group.name, at: date, complete: UnixTime.date(complete), queue: queue)
            }
        }
        return KafkaRegistry.Floor(offsets: found, since: since)
    }
}
#endif

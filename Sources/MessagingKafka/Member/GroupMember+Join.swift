#if Kafka
import Logging
import Messaging

extension GroupMember {
    /// What a member takes part in.
    enum Part: Sendable {
        case everything
        /// Only moving on what waits, so that reservations are known to somebody when nobody consumes.
        case waiting
    }

    /// Joins a group of a queue.
    ///
    /// - Returns: The member; whether it has partitions yet, ``joined(within:)`` tells.
    /// - Throws: `QueueError`.
    static func join(
        _ entry: KafkaRegistry.Entry,
        _ group: GroupDefinition,
        _ part: Part,
        _ broker: KafkaBroker,
        _ registry: KafkaRegistry,
        _ configuration: KafkaConfiguration,
        _ log: KafkaLog
    ) async throws -> GroupMember {
        let queue = entry.definition.name
        let roles = roles(queue, group.name).filter { part == .everything || !$0.value.isDelivered }
        let names = roles.keys.sorted()
        let words = KafkaNames.reservations(queue)
        let partitions = try await broker.ask("asking for topics", queue) { (client, timeout) throws(KafkaFailure) in
            var partitions = try client.partitions(of: names, within: timeout)
            partitions[words] = try client.metadata(words, within: timeout).partitions[words]
            return partitions
        }
        if let missing = names.first(where: { partitions[$0] == nil }) {
            throw QueueError(
                .topologyLost,
                "the topic '\(missing)' was deleted; delete the queue and declare it again",
                queue: queue
            )
        }
        let floor = entry.floors[group.name] ?? KafkaRegistry.Floor()
        var floors: [TopicPartition: Int64] = [:]
        for (index, offset) in (floor.offsets ?? []).enumerated() {
            floors[TopicPartition(topic: KafkaNames.main(queue), partition: Int32(clamping: index))] = offset
        }
        let settings = MemberState.Settings(
            queue: queue,
            group: group.name,
            made: entry.made,
            lease: group.lease,
            maxAttempts: group.maxAttempts,
            isKeyed: entry.definition.ordering == .keyed,
            roles: roles,
            since: floor.since,
            commitInterval: configuration.commitInterval,
            trust: configuration.sessionTimeout / 2
        )
        do throws(KafkaFailure) {
            return try GroupMember(
                settings: settings,
                // A static member is the one that consumes.
                options: configuration.memberSettings(group: KafkaNames.group(queue, group.name))
                    .filter { part == .everything || $0.name != "group.instance.id" },
                floors: floors,
                partitions: partitions,
                publisher: broker.publisher,
                log: log,
                cleanInterval: configuration.cleanInterval,
                pollTimeout: configuration.pollTimeout,
                clean: {
                    do throws(QueueError) {
                        return try await Retention.clean(queue, broker, registry)
                    } catch {
                        log.logger.info("finished records could not be removed", metadata: [LogKeys.error: "\(error)"])
                        return true
                    }
                },
                registry: registry,
                verify: { await loss(of: entry, names, broker, registry) }
            )
        } catch {
            throw KafkaErrors.error(error, queue: queue, doing: "joining the group")
        }
    }

    /// Tells why a queue is none any more; `nil` when it is, or when nobody can tell.
    private static func loss(
        of entry: KafkaRegistry.Entry,
        _ topics: [String],
        _ broker: KafkaBroker,
        _ registry: KafkaRegistry
    ) async -> QueueError? {
        let queue = entry.definition.name
        do throws(QueueError) {
            guard try await registry.current()[queue]?.made == entry.made else { return KafkaQueue.deleted(queue) }
            let missing = try await broker.ask("asking for topics", queue) { (client, timeout) throws(KafkaFailure) in
                let found = try client.partitions(of: topics, within: timeout)
                return topics.first { found[$0] == nil }
            }
            guard let missing else { return nil }
            return QueueError(
                .topologyLost,
                "the topic '\(missing)' was deleted; delete the queue and declare it again",
                queue: queue,
                isRetryable: false
            )
        } catch {
            return nil
        }
    }

    static func roles(_ queue: String, _ group: String) -> [String: MemberState.Role] {
        [
            KafkaNames.main(queue): .main, KafkaNames.retry(queue, group): .retry,
            KafkaNames.scheduled(queue): .scheduled, KafkaNames.delay(queue, group): .delayed,
        ]
    }
}
#endif

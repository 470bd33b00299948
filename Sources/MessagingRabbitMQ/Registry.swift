#if RabbitMQ
import Messaging

#if canImport(FoundationEssentials)
import FoundationEssentials
#else
import Foundation
#endif

/// The settings of a queue as the record that the broker keeps of it, and back: AMQP cannot be asked what there is.
struct QueueRecord: Codable, Sendable, Equatable {
    struct Group: Codable, Sendable, Equatable {
        var name: String
        var lease_ms: Int64
        var max_attempts: Int
    }

    /// Format 2 is that of keyed queues, which versions that know no lanes must leave alone.
    private static let formats = 1...2

    var format = 1
    var queue: String
    var dedupe_ms: Int64
    /// Grows with each change, so that of two records of one queue the newer is known.
    var revision: Int
    var groups: [Group]
    /// Whether the queue takes no publications; missing when it does.
    var closed: Bool?

    var isOpen: Bool { closed != true }
    /// How many lanes a keyed queue has; fixed for its life, because another number moves keys.
    var lanes: Int?

    init(_ definition: QueueDefinition, lanes: Int, revision: Int) {
        queue = definition.name
        dedupe_ms = definition.dedupeWindow.milliseconds
        self.revision = revision
        if definition.ordering == .keyed { (format, self.lanes) = (2, lanes) }
        groups = definition.groups.map {
            Group(name: $0.name, lease_ms: $0.lease.milliseconds, max_attempts: $0.maxAttempts)
        }
    }

    static func read(_ body: [UInt8]) throws(QueueError) -> QueueRecord {
        struct Version: Decodable {
            var format: Int
            var queue: String
        }
        let data = Data(body)
        guard let version = try? JSONDecoder().decode(Version.self, from: data) else {
            throw QueueError(
                .undecodable,
                "the queue '\(RabbitNames.registry)' on the broker holds something of others"
            )
        }
        guard formats.contains(version.format), let record = try? JSONDecoder().decode(QueueRecord.self, from: data),
            record.lanes.map(Lanes.possible.contains) ?? true
        else {
            throw QueueError(
                .topologyConflict,
                "the queue has the format \(version.format); this version understands \(formats.upperBound) and older, a "
                    + "newer one is needed",
                queue: version.queue
            )
        }
        return record
    }

    func message() -> OutgoingMessage {
        let encoder = JSONEncoder()
        encoder.outputFormatting = .sortedKeys
        var properties = AMQPProperties()
        properties.contentType = "application/json"
        properties.messageID = "\(RabbitNames.hexadecimal(RabbitNames.hash(queue.utf8)))-\(revision)"
        // A structure of strings and numbers can always be encoded.
        let body = (try? encoder.encode(self)).map { Array($0) } ?? []
        return OutgoingMessage(exchange: "", routingKey: RabbitNames.registry, properties: properties, body: body)
    }

    var definition: QueueDefinition {
        QueueDefinition(
            queue,
            groups: groups.map {
                GroupDefinition($0.name, lease: .milliseconds($0.lease_ms), maxAttempts: $0.max_attempts)
            }.sorted { $0.name < $1.name },
            dedupeWindow: .milliseconds(dedupe_ms),
            ordering: lanes == nil ? .unordered : .keyed
        )
    }
}

/// What declaring means, without I/O.
enum DeclarePlan {
    /// The conflict between a queue that exists and what is wanted.
    ///
    /// - Parameters:
    ///   - record: The queue that exists.
    ///   - wanted: What is wanted.
    ///   - lanes: How many lanes this client gives to keyed queues.
    /// - Returns: The error that names both; `nil` when they agree.
    static func conflict(_ record: QueueRecord, _ wanted: QueueDefinition, lanes: Int) -> QueueError? {
        let existing = record.definition
        var differences = existing.differences(from: wanted)
        if wanted.ordering == .keyed, let found = record.lanes, found != lanes {
            differences.append("it has \(found) lanes, not \(lanes) (lanes in the URL)")
        }
        for group in wanted.groups {
            if let known = existing.groups.first(where: { $0.name == group.name }) {
                differences += known.differences(from: group)
            }
        }
        if differences.isEmpty { return nil }
        return QueueError(
            .topologyConflict,
            "it exists with other settings: \(differences.joined(separator: "; ")); nothing was changed. Declare it as it "
                + "is, or use another name",
            queue: wanted.name
        )
    }

    /// What cannot be had here.
    static func unsupported(_ definition: QueueDefinition, longestHold: Duration) -> QueueError? {
        let reason: String? =
            if let group = definition.groups.first(where: { $0.lease > longestHold }) {
                "the lease of group '\(group.name)' is \(group.lease), and the broker takes deliveries back after its "
                    + "consumer_timeout; leases up to \(longestHold) are safe. Raise consumer_timeout in the server's "
                    + "configuration and in the URL"
            } else if definition.retention > .zero {
                RabbitProbe.noReplay
            } else if definition.maxReady != nil {
                RabbitProbe.noBound
            } else {
                nil
            }
        return reason.map {
            QueueError(.unsupported, "this queue cannot be had on rabbitmq: \($0)", queue: definition.name)
        }
    }

    /// The settings with the groups that both know.
    static func merged(_ existing: QueueDefinition?, _ wanted: QueueDefinition) -> QueueDefinition {
        guard var merged = existing else { return wanted }
        let known = Set(merged.groups.map(\.name))
        merged.groups += wanted.groups.filter { !known.contains($0.name) }
        return merged
    }

    /// Refuses a group that wants what was there before it, which only the other groups' queues have.
    static func missedHistory(
        _ existing: QueueDefinition?,
        _ wanted: QueueDefinition,
        ready: [String: Int]
    ) -> QueueError? {
        guard let existing, existing.groups.contains(where: { ready[$0.name, default: 0] > 0 }) else { return nil }
        let known = Set(existing.groups.map(\.name))
        guard let late = wanted.groups.first(where: { !known.contains($0.name) && $0.start != .latest }) else {
            return nil
        }
        return QueueError(
            .unsupported,
            "the new group '\(late.name)' cannot get what was published before it: on RabbitMQ a group has its own queue "
                + "and no past; declare it with the start .latest",
            queue: wanted.name
        )
    }
}
#endif

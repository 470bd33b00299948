#if Kafka
/// Where a stored message is, and for which group: what its id in a listing says.
struct StoredPlace: Hashable, Sendable {
    /// The topic, of those that belong to a queue or to one of its groups.
    enum Topic: String, Sendable, CaseIterable {
        case main = "m"
        case retry = "r"
        case scheduled = "s"
        case delayed = "w"
        case dead = "d"
    }

    var topic: Topic
    var partition: Int32
    var offset: Int64
    /// The group it is for; `nil` means every group, and for a dead letter whatever group it names.
    var group: String?

    /// As in ids and in reservations: `s:3:17` for every group, `s:3:17:billing` for one of them.
    var id: String { "\(topic.rawValue):\(partition):\(offset)" + (group.map { ":\($0)" } ?? "") }

    init(_ topic: Topic, _ partition: Int32, _ offset: Int64, group: String? = nil) {
        (self.topic, self.partition, self.offset, self.group) = (topic, partition, offset, group)
    }

    /// Reads an id; `nil` for what is none.
    init?(_ id: some StringProtocol) {
        let parts = id.split(separator: ":", maxSplits: 3, omittingEmptySubsequences: false)
        guard parts.count >= 3, let topic = Topic(rawValue: String(parts[0])), let partition = Int32(parts[1]),
            let offset = Int64(parts[2]), partition >= 0, offset >= 0
        else { return nil }
        self.init(topic, partition, offset, group: parts.count > 3 ? String(parts[3]) : nil)
        // What is written in another way names nothing; a group's own topics belong to a group.
        guard self.id == id, !id.hasSuffix(":") else { return nil }
        switch topic {
        case .main, .retry, .delayed: if group == nil { return nil }
        case .dead: if group != nil { return nil }
        case .scheduled: break
        }
    }

    /// The partition on the broker.
    func place(in queue: String) -> TopicPartition {
        let name =
            switch topic {
            case .main: KafkaNames.main(queue)
            case .retry: KafkaNames.retry(queue, group ?? "")
            case .scheduled: KafkaNames.scheduled(queue)
            case .delayed: KafkaNames.delay(queue, group ?? "")
            case .dead: KafkaNames.deadLetters(queue)
            }
        return TopicPartition(topic: name, partition: partition)
    }
}

extension StoredPlace: Comparable {
    private var rank: Int { Topic.allCases.firstIndex(of: topic) ?? 0 }

    static func < (left: StoredPlace, right: StoredPlace) -> Bool {
        (left.rank, left.partition, left.offset, left.group ?? "")
            < (right.rank, right.partition, right.offset, right.group ?? "")
    }
}
#endif

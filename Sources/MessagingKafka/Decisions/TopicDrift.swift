#if Kafka
/// What the settings of a topic that is there already do to a queue.
enum TopicDrift {
    /// Settings with another value lose messages, or confirm what is not safe.
    private static let expected = [
        "cleanup.policy": "delete", "retention.ms": "-1", "retention.bytes": "-1",
        "unclean.leader.election.enable": "false",
    ]

    /// Compares.
    ///
    /// - Parameters:
    ///   - topic: What is wanted.
    ///   - found: The settings that the broker tells; one that it does not tell is taken for right.
    /// - Returns: What is wrong, one text each, and how to put it right.
    static func problems(_ topic: KafkaTopic, found: [String: String]) -> [String] {
        var problems: [String] = []
        for (name, value) in expected.sorted(by: { $0.key < $1.key }) {
            guard let other = found[name], other != value else { continue }
            problems.append("'\(topic.name)' has \(name)=\(other), and not \(value)")
        }
        let wanted = topic.settings["min.insync.replicas"].flatMap { Int($0) } ?? 1
        if let copies = found["min.insync.replicas"].flatMap({ Int($0) }), copies < wanted {
            problems.append("'\(topic.name)' has min.insync.replicas=\(copies), and not \(wanted)")
        }
        return problems
    }
}
#endif

#if Kafka
import Foundation
import Messaging
import Synchronization

extension KafkaQueue {
    // swift-format-ignore: AllPublicDeclarationsHaveDocumentation
    public func deleteQueue(_ queue: String) async throws(QueueError) -> Bool {
        try NameRules.validate(queue: queue)
        try checkOpen()
        let known = try await registry.current()[queue]
        guard let entry = known ?? registry.remains(of: queue) else { return false }
        do throws(QueueError) {
            // First the word, so that nobody uses the queue any more; whoever finds the word alone does the rest.
            if !entry.isDeleting {
                let word = KafkaRegistry.DeletionRecord(deleting: entry.made)
                try await registry.write(word, key: queue, queue: queue)
                // Members read the registry along; they hear of it before their topics go.
                try? await Task.sleep(for: Self.notice)
            }
            try await finishDeleting(entry)
        } catch {
            guard error.code == .unavailable else { throw error }
            throw QueueError(
                .indeterminate,
                "the broker did not say whether all of the queue is gone (\(error.message)); delete it again",
                queue: queue,
                underlying: error
            )
        }
        let members = state.withLock { state in
            state.books[Self.bookKey(entry)] = nil
            state.reservations[Self.bookKey(entry)] = nil
            state.restored.forget(queue)
            let keys = entry.definition.groups.map { Self.memberKey(entry, $0.name) }
            let attendants = keys.compactMap { state.attendants.removeValue(forKey: $0) }
            return keys.compactMap { state.members[$0]?.joining } + attendants
        }
        for joining in members { (try? await joining.value)?.lose(Self.deleted(queue)) }
        return true
    }

    /// Removes what is left of a queue that somebody began to delete, and its name with it.
    func finishDeleting(_ entry: KafkaRegistry.Entry) async throws(QueueError) {
        try await deleteTopics(of: entry)
        try await registry.remove(entry)
        _ = try await registry.current()
    }

    /// How long members have to hear that their queue is being deleted: what a busy broker needs to hand a record on.
    private static let notice: Duration = .seconds(1)

    private func deleteTopics(of entry: KafkaRegistry.Entry) async throws(QueueError) {
        let queue = entry.definition.name
        let topics = Self.topics(of: entry.definition, partitions: entry.partitions).map(\.name)
        let groups = entry.definition.groups.map { KafkaNames.group(queue, $0.name) }
        try await broker.askApart("deleting the topics", queue) { (client, timeout) throws(KafkaFailure) in
            for failure in try client.delete(topics, within: timeout).compactMap({ $0 })
            where !KafkaErrors.isMissing(failure) { throw failure }
            // A queue of the same name can be declared once the brokers have forgotten the topics.
            let deadline = ContinuousClock.now + timeout
            var pause: Duration = .milliseconds(10)
            for topic in topics {
                while try client.metadata(topic, within: timeout).partitions[topic] != nil {
                    guard ContinuousClock.now + pause < deadline else {
                        throw KafkaFailure(code: -185, name: "_TIMED_OUT", text: "the topic '\(topic)' is still there")
                    }
                    // This thread may block, and the brokers have other work than to answer at once again.
                    Thread.sleep(forTimeInterval: pause.inSeconds)
                    pause = min(pause * 2, .milliseconds(500))
                }
            }
            // What is left of the groups hurts nobody: notes of an earlier queue are passed over.
            try? client.delete(groups: groups, within: min(timeout, .seconds(5)))
        }
    }

    static func deleted(_ queue: String) -> QueueError {
        QueueError(.topologyLost, "the queue was deleted", queue: queue, isRetryable: false)
    }

    /// What a group's member of this client is known under; another one after the queue was deleted and declared again.
    static func memberKey(_ entry: KafkaRegistry.Entry, _ group: String) -> String {
        KafkaNames.group(entry.definition.name, group) + "#\(entry.made)"
    }

    static func bookKey(_ entry: KafkaRegistry.Entry) -> String { "\(entry.definition.name)#\(entry.made)" }
}
#endif

extension QueueDefinition {
    /// Decides what a declaration makes of a queue that exists; for backends.
    ///
    /// - Parameter wanted: The declaration, which may name groups that are missing.
    /// - Returns: This definition with the missing groups. A group that exists keeps its place: where it began is no
    ///   setting any more.
    /// - Throws: `QueueError` with the code `topologyConflict` when the queue or a group has other settings, naming
    /// both.
    public func adding(_ wanted: QueueDefinition) throws(QueueError) -> QueueDefinition {
        var result = self
        var conflicts = differences(from: wanted)
        for group in wanted.groups {
            if let existing = groups.first(where: { $0.name == group.name }) {
                conflicts += existing.differences(from: group)
            } else {
                result.groups.append(group)
            }
        }
        guard conflicts.isEmpty else {
            throw QueueError(
                .topologyConflict,
                "the queue exists with other settings: \(conflicts.joined(separator: ", ")); nothing was changed",
                queue: name
            )
        }
        return result
    }

    /// Names each setting of an existing queue that another declaration wants otherwise, with both values.
    package func differences(from wanted: QueueDefinition) -> [String] {
        difference("dedupeWindow", dedupeWindow, wanted.dedupeWindow)
            + difference("retention", retention, wanted.retention)
            + difference("maxReady", maxReady.map(String.init) ?? "none", wanted.maxReady.map(String.init) ?? "none")
            + difference("ordering", ordering, wanted.ordering)
    }
}

extension GroupDefinition {
    /// Names each setting of an existing group that another declaration wants otherwise; its start is past.
    package func differences(from wanted: GroupDefinition) -> [String] {
        difference("lease of group '\(name)'", lease, wanted.lease)
            + difference("maxAttempts of group '\(name)'", maxAttempts, wanted.maxAttempts)
    }
}

private func difference<Value: Equatable>(_ setting: String, _ existing: Value, _ wanted: Value) -> [String] {
    existing == wanted ? [] : ["\(setting) is \(existing), not \(wanted)"]
}

extension QueueDefinition {
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

import Messaging

/// What `--create` does.
enum Topology {
    /// Creates a queue and groups that are not there, and leaves what is there as it is.
    ///
    /// - Parameters:
    ///   - queue: The queue's name.
    ///   - groups: The groups it must have.
    ///   - backend: Where.
    /// - Returns: What was created, for a note; `nil` when everything was there.
    /// - Throws: `QueueError` as `declare`.
    static func ensure(
        _ queue: String,
        groups: [String],
        on backend: any MessageQueue
    ) async throws(QueueError) -> String? {
        let existing = try await backend.definition(of: queue)
        var definition = existing ?? QueueDefinition(queue)
        let missing = groups.filter { name in !definition.groups.contains { $0.name == name } }
        if existing != nil, missing.isEmpty { return nil }
        definition.groups += missing.map { GroupDefinition($0) }
        try await backend.declare(definition)
        let names = missing.map { "group '\($0)'" }
        return ((existing == nil ? ["queue '\(queue)'"] : []) + names).joined(separator: ", ")
    }
}

import Messaging

#if canImport(FoundationEssentials)
import FoundationEssentials
#else
import Foundation
#endif

/// What a queue holds, by state and group.
public struct Inventory: Sendable, Hashable, Codable {
    /// The messages of one state, and of one group where each group has its own.
    public struct Entry: Sendable, Hashable, Codable {
        /// The state.
        public var state: StoredMessage.State
        /// The group; `nil` means every group.
        public var group: String?
        /// How many messages; `nil` when the backend cannot tell.
        public var count: Int?
        /// How far the number can be trusted: `exact`, `estimate`, or why there is none.
        public var grade: String
        /// The size of their bodies.
        public var bytes: Int
        /// When the oldest was published, if the broker knows.
        public var oldest: Date?
        /// The last due time, of those that have one.
        public var latestDue: Date?
        /// SHA-256 over the sorted ids and hashes; `nil` when the messages could not be listed.
        public var digest: String?

        /// Creates an entry.
        ///
        /// - Parameters:
        ///   - state: The state.
        ///   - group: The group.
        ///   - count: How many messages.
        ///   - grade: How far the number can be trusted.
        ///   - bytes: The size of their bodies.
        ///   - oldest: When the oldest was published.
        ///   - latestDue: The last due time.
        ///   - digest: What identifies the messages.
        public init(
            state: StoredMessage.State,
            group: String?,
            count: Int?,
            grade: String = "exact",
            bytes: Int = 0,
            oldest: Date? = nil,
            latestDue: Date? = nil,
            digest: String? = nil
        ) {
            self.state = state
            self.group = group
            self.count = count
            self.grade = grade
            self.bytes = bytes
            self.oldest = oldest
            self.latestDue = latestDue
            self.digest = digest
        }
    }

    /// The settings of the queue, in words that are compared only.
    public var definition: String
    /// The groups.
    public var groups: [String]
    /// The messages.
    public var entries: [Entry]
    /// How many ids are remembered to recognise duplicates; `nil` when the backend cannot tell.
    public var remembered: Int?

    /// Creates an inventory.
    ///
    /// - Parameters:
    ///   - definition: The settings of the queue.
    ///   - groups: The groups.
    ///   - entries: The messages.
    ///   - remembered: How many ids are remembered.
    public init(definition: String, groups: [String], entries: [Entry], remembered: Int?) {
        self.definition = definition
        self.groups = groups
        self.entries = entries
        self.remembered = remembered
    }

    /// How many messages there are in a state, in all groups together.
    ///
    /// - Parameter state: The state.
    /// - Returns: The number; `nil` when it cannot be told.
    public func count(_ state: StoredMessage.State) -> Int? {
        var sum = 0
        for entry in entries where entry.state == state {
            guard let count = entry.count else { return nil }
            sum += count
        }
        return sum
    }
}

import Messaging

/// A message as verification sees it: what it is, and where it should be.
public struct VerifiedMessage: Sendable, Hashable {
    /// The message's id.
    public var id: String
    /// The group it is for; `nil` means every group.
    public var group: String?
    /// Its canonical hash.
    public var hash: String

    /// Creates a record.
    ///
    /// - Parameters:
    ///   - id: The message's id.
    ///   - group: The group it is for.
    ///   - hash: Its canonical hash.
    public init(id: String, group: String?, hash: String) {
        self.id = id
        self.group = group
        self.hash = hash
    }
}

/// What differs between the messages that should be somewhere and those that are: compared as sets, never as counts.
public struct SetComparison: Sendable, Hashable, Codable {
    /// Ids that should be there and are not.
    public var missing: [String] = []
    /// Ids that are there and should not be.
    public var extra: [String] = []
    /// Ids that are there more often than they should.
    public var duplicate: [String] = []
    /// Ids that are there with another content.
    public var different: [String] = []
    /// How many messages were as they should be.
    public var matched = 0

    /// Whether nothing differs.
    public var isSame: Bool { missing.isEmpty && extra.isEmpty && duplicate.isEmpty && different.isEmpty }

    /// An empty comparison.
    public init() {}

    /// Compares two sets of messages.
    ///
    /// - Parameters:
    ///   - expected: What should be there.
    ///   - found: What is there.
    ///   - allowsMore: Whether messages may be there that nobody expects, as while producers run.
    public init(expected: [VerifiedMessage], found: [VerifiedMessage], allowsMore: Bool = false) {
        let wanted = Self.byPlace(expected)
        let present = Self.byPlace(found)
        for (place, hashes) in wanted {
            var left = present[place] ?? []
            for hash in hashes {
                if let index = left.firstIndex(of: hash) {
                    left.remove(at: index)
                    matched += 1
                } else if left.isEmpty {
                    missing.append(place.id)
                } else {
                    left.removeFirst()
                    different.append(place.id)
                }
            }
            duplicate += left.map { _ in place.id }
        }
        for (place, hashes) in present where wanted[place] == nil {
            // Also where more is allowed, one id in one place twice is once too often.
            duplicate += hashes.dropFirst().map { _ in place.id }
            if !allowsMore { extra.append(place.id) }
        }
        missing.sort()
        extra.sort()
        duplicate.sort()
        different.sort()
    }

    /// Adds the findings of another comparison.
    ///
    /// - Parameter other: The other comparison.
    public mutating func add(_ other: SetComparison) {
        missing += other.missing
        extra += other.extra
        duplicate += other.duplicate
        different += other.different
        matched += other.matched
    }

    private struct Place: Hashable {
        let id: String
        let group: String?
    }

    private static func byPlace(_ messages: [VerifiedMessage]) -> [Place: [String]] {
        var result: [Place: [String]] = [:]
        for message in messages {
            result[Place(id: message.id, group: message.group), default: []].append(message.hash)
        }
        return result
    }
}

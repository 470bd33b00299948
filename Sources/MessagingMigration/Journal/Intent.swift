import Messaging

#if canImport(FoundationEssentials)
import struct FoundationEssentials.Date
#else
import struct Foundation.Date
#endif

/// A message on its way from one side to the other, as the journal has it.
public struct Intent: Sendable, Hashable {
    /// How far it is.
    public enum State: String, Sendable, Hashable, CaseIterable {
        /// It is to go over; it may have arrived or not.
        case intent
        /// The new side has confirmed it.
        case done
        /// It has left the old side.
        case removed
        /// It had left its state before it could be taken, and is no matter of ours any more.
        case left
        /// The new side does not take it; it is back where it was.
        case refused
    }

    /// What names it on the new side, so that writing it in again is recognised.
    public var id: String
    /// What named it on the old side; empty for what was taken by consuming it.
    public var sourceID: String
    /// The state in which it was there.
    public var kind: StoredMessage.State
    /// The group it is for; `nil` means every group.
    public var group: String?
    /// The message's id.
    public var messageID: String
    /// The message's canonical hash.
    public var hash: String
    /// When it is due, if later.
    public var due: Date?
    /// How far it is.
    public var state: State
    /// Why the new side does not take it.
    public var reason: String?

    /// Creates a record.
    ///
    /// - Parameters:
    ///   - id: What names it on the new side.
    ///   - sourceID: What names it on the old side.
    ///   - kind: The state in which it is there.
    ///   - group: The group it is for.
    ///   - messageID: The message's id.
    ///   - hash: The message's canonical hash.
    ///   - due: When it is due.
    ///   - state: How far it is.
    ///   - reason: Why the new side does not take it.
    public init(
        id: String,
        sourceID: String,
        kind: StoredMessage.State,
        group: String?,
        messageID: String,
        hash: String,
        due: Date? = nil,
        state: State = .intent,
        reason: String? = nil
    ) {
        self.id = id
        self.sourceID = sourceID
        self.kind = kind
        self.group = group
        self.messageID = messageID
        self.hash = hash
        self.due = due
        self.state = state
        self.reason = reason
    }

    /// A message that is to go over in some migration.
    init(_ stored: StoredMessage, _ migration: Migration) {
        let hash = CanonicalHash(stored.message).description
        // A backend may give a number again to another message once the first has left.
        let name = "\(stored.id).\(stored.attempts).\(hash.prefix(32))"
        self.init(
            id: "\(migration.id).\(migration.leg).\(name)",
            sourceID: stored.id,
            kind: stored.state,
            group: stored.group,
            messageID: stored.message.id.rawValue,
            hash: hash,
            due: stored.due
        )
    }

    /// A delivery that is to go over: whoever gets it again after a crash makes the same record of it.
    init(_ delivery: Delivery, _ migration: Migration) {
        let hash = CanonicalHash(delivery.message).description
        let published = delivery.publishedAt.map { String(UnixTime.milliseconds($0)) } ?? "-"
        let name = CanonicalHash.digest(of: "\(delivery.group) \(hash) \(published) \(delivery.redrives)")
        self.init(
            id: "\(migration.id).\(migration.leg).r.\(name)",
            sourceID: "",
            kind: .ready,
            group: delivery.group,
            messageID: delivery.message.id.rawValue,
            hash: hash
        )
    }
}

/// A process that publishes to or consumes from a queue that moves.
public struct Participant: Sendable, Hashable {
    /// Its id, which no other process has.
    public var id: String
    /// What a person knows it by.
    public var name: String
    /// The last change of the migration that it follows.
    public var epoch: Int
    /// Until when it follows it without looking again.
    public var expiresAt: Date

    /// Creates a record.
    ///
    /// - Parameters:
    ///   - id: Its id.
    ///   - name: What a person knows it by.
    ///   - epoch: The last change of the migration that it follows.
    ///   - expiresAt: Until when it follows it without looking again.
    public init(id: String, name: String, epoch: Int, expiresAt: Date) {
        self.id = id
        self.name = name
        self.epoch = epoch
        self.expiresAt = expiresAt
    }
}

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
        let name = "\(stored.id).\(stored.attempts).\(Substring(hash.utf8.prefix(32)))"
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
        let published = delivery.publishedAt.map { UnixTime.milliseconds($0) }
        let digest = CanonicalHash.digest(
            of: delivery.group + " " + hash + " " + (published.map { String($0) } ?? "-") + " "
                + String(delivery.redrives)
        )
        self.init(
            id: Self.name(of: delivery.message.id, published ?? 0, digest, migration),
            sourceID: "",
            kind: .ready,
            group: delivery.group,
            messageID: delivery.message.id.rawValue,
            hash: hash
        )
    }

    /// The name of a delivery, which grows with the time at which it was published.
    ///
    /// What was published together stands together in the journal and in what the new side remembers: names in no order
    /// would make every message write a page of its own.
    private static func name(
        of message: MessageID,
        _ published: Int64,
        _ digest: String,
        _ migration: Migration
    ) -> String {
        let dot = UInt8(ascii: ".")
        // One buffer: a move makes a name for each message.
        var name: [UInt8] = []
        name.reserveCapacity(128)
        name += migration.id.utf8
        name.append(dot)
        name += String(migration.leg).utf8
        name += ".r.".utf8
        let time = String(published, radix: 16).utf8
        name += repeatElement(UInt8(ascii: "0"), count: max(0, 12 - time.count))
        name += time
        name.append(dot)
        for byte in message.rawValue.utf8.prefix(18) { name.append(isPlain(byte) ? byte : UInt8(ascii: "_")) }
        name.append(dot)
        name += digest.utf8.prefix(32)
        return String(decoding: name, as: UTF8.self)
    }
}

extension Intent {
    /// Whether a byte is a letter, a digit or a hyphen, which a name may have on every side.
    private static func isPlain(_ byte: UInt8) -> Bool {
        switch byte {
        case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
            UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "-"):
            true
        default: false
        }
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
    /// What became of its publications to the side that the queue goes to, lately.
    public var lately: PublicationCount
    /// Whether it has ended; then only what became of its publications still counts, until its lease is over.
    public var hasLeft: Bool

    /// Creates a record.
    ///
    /// - Parameters:
    ///   - id: Its id.
    ///   - name: What a person knows it by.
    ///   - epoch: The last change of the migration that it follows.
    ///   - expiresAt: Until when it follows it without looking again.
    ///   - lately: What became of its publications to the side that the queue goes to, lately.
    ///   - hasLeft: Whether it has ended.
    public init(
        id: String,
        name: String,
        epoch: Int,
        expiresAt: Date,
        lately: PublicationCount = PublicationCount(),
        hasLeft: Bool = false
    ) {
        self.id = id
        self.name = name
        self.epoch = epoch
        self.expiresAt = expiresAt
        self.lately = lately
        self.hasLeft = hasLeft
    }
}

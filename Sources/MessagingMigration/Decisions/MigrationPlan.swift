import Messaging

#if canImport(FoundationEssentials)
import struct FoundationEssentials.Date
#else
import struct Foundation.Date
#endif

/// What a queue holds, and what has to happen for it to live on another backend.
///
/// It is made without changing anything.
public struct MigrationPlan: Sendable, Hashable, Codable {
    /// What a line of the plan does.
    public enum Sign: String, Sendable, Hashable, Codable {
        /// Something is created.
        case create
        /// Something becomes something else, without loss.
        case map
        /// Something is lost; it must be accepted by its name.
        case lossy
        /// Messages go over.
        case move
        /// It cannot be done like this.
        case blocked
        /// Something to know.
        case note
    }

    /// One line of the plan.
    public struct Item: Sendable, Hashable, Codable {
        /// What it does.
        public var sign: Sign
        /// The name that accepts a loss; for others what it is about.
        public var name: String
        /// What happens, in a sentence.
        public var text: String
        /// Ids of messages that it is about, at most some.
        public var ids: [String]

        /// Creates a line.
        ///
        /// - Parameters:
        ///   - sign: What it does.
        ///   - name: The name that accepts a loss; for others what it is about.
        ///   - text: What happens.
        ///   - ids: Ids of messages that it is about.
        public init(_ sign: Sign, _ name: String, _ text: String, ids: [String] = []) {
            self.sign = sign
            self.name = name
            self.text = text
            self.ids = ids
        }
    }

    /// The queue.
    public var queue: String
    /// Where it is, without credentials.
    public var from: String
    /// Where it goes, without credentials.
    public var to: String
    /// When the plan was made.
    public var madeAt: Date
    /// What the queue holds.
    public var inventory: Inventory
    /// What happens, in order.
    public var items: [Item]
    /// How long moving what has to be moved takes, about, in seconds.
    public var estimatedSeconds: Double?

    /// Creates a plan.
    ///
    /// - Parameters:
    ///   - queue: The queue.
    ///   - from: Where it is.
    ///   - to: Where it goes.
    ///   - madeAt: When the plan was made.
    ///   - inventory: What the queue holds.
    ///   - items: What happens.
    ///   - estimatedSeconds: How long moving takes, about.
    public init(
        queue: String,
        from: String,
        to: String,
        madeAt: Date,
        inventory: Inventory,
        items: [Item],
        estimatedSeconds: Double?
    ) {
        self.queue = queue
        self.from = from
        self.to = to
        self.madeAt = madeAt
        self.inventory = inventory
        self.items = items
        self.estimatedSeconds = estimatedSeconds
    }

    /// What forbids it.
    public var blocked: [Item] { items.filter { $0.sign == .blocked } }
    /// What is lost.
    public var losses: [Item] { items.filter { $0.sign == .lossy } }

    /// Checks that the plan can be carried out.
    ///
    /// - Parameter accepted: The names of the losses that are accepted.
    /// - Throws: `MigrationError` with what forbids it.
    public func check(accepting accepted: Set<String>) throws(MigrationError) {
        if let first = blocked.first {
            let more = blocked.count > 1 ? " (and \(blocked.count - 1) more, see 'mq migrate plan')" : ""
            throw MigrationError(.blocked, "queue '\(queue)' cannot move: \(first.text)\(more)")
        }
        let refused = losses.filter { !accepted.contains($0.name) }
        guard refused.isEmpty else {
            let names = refused.map { "--accept-loss \($0.name)" }.joined(separator: " ")
            throw MigrationError(
                .lossy,
                "queue '\(queue)' would lose something: \(refused.map(\.text).joined(separator: "; ")); accept it with "
                    + "\(names)"
            )
        }
    }

    /// Tells how the queue has moved away from this plan.
    ///
    /// - Parameters:
    ///   - now: A plan made just now.
    ///   - tolerance: By which share of the plan's figures a figure may differ; five messages more or less always may.
    /// - Returns: What has changed too much, in words; `nil` when nothing has.
    public func drift(to now: MigrationPlan, tolerance: Double) -> String? {
        if now.queue != queue || now.from != from || now.to != to { return "the plan is for another move" }
        if now.inventory.definition != inventory.definition { return "the queue has other settings or groups" }
        for state in StoredMessage.State.allCases {
            guard let planned = inventory.count(state), let present = now.inventory.count(state) else { continue }
            let allowed = max(5, Double(planned) * tolerance)
            if abs(Double(present - planned)) > allowed {
                return "\(present) messages are \(state.rawValue), the plan has \(planned)"
            }
        }
        let known = Set(items.filter { $0.sign == .lossy || $0.sign == .blocked }.map(\.name))
        if let new = now.items.first(where: { ($0.sign == .lossy || $0.sign == .blocked) && !known.contains($0.name) })
        {
            return new.text
        }
        return nil
    }
}

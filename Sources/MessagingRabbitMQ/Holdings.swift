#if RabbitMQ
import Messaging

/// A message that came to a consumer, kept once however often it is passed on.
final class ReceivedMessage: Sendable {
    let tag: UInt64
    let wire: WireMessage

    init(tag: UInt64, wire: WireMessage) {
        self.tag = tag
        self.wire = wire
    }
}

/// What a consumer holds on one channel, and which of it has ended: each delivery is settled once; without I/O.
struct Holdings: Sendable {
    /// A delivery that was handed over.
    struct Held: Sendable {
        let received: ReceivedMessage
        /// When its lease runs out.
        var deadline: Duration
        /// Until when it can be renewed.
        let limit: Duration
        /// Whether its settlement is under way.
        var isSettling = false
    }

    /// The answer to an attempt to settle.
    enum Start: Sendable {
        case proceed(ReceivedMessage)
        case alreadySettled
        case leaseLost
    }

    private struct Ended: Sendable, Equatable {
        var tag: UInt64
        var epoch: UInt32
    }

    /// How many settled deliveries are remembered, to tell "settled before" from "never yours".
    private static let remembered: UInt64 = 4096

    private var held: [UInt64: Held] = [:]
    /// Those that were settled, each at its tag's place in a ring.
    private var ended: [Ended] = []
    /// One more with each life of the connection: tags begin again.
    private(set) var epoch: UInt32 = 0
    /// When the next lease may run out.
    private(set) var nextExpiry: Duration?

    var count: Int { held.count }

    /// Begins or ends a life of the connection: what was held belongs to the broker again.
    mutating func clear() {
        epoch += 1
        held.removeAll()
        nextExpiry = nil
    }

    /// Notes a delivery.
    mutating func handOver(_ received: ReceivedMessage, deadline: Duration, limit: Duration) {
        held[received.tag] = Held(received: received, deadline: deadline, limit: limit)
        noteExpiry(deadline)
    }

    /// Notes a delivery that was settled when it was handed over.
    mutating func handOverSettled(_ tag: UInt64) { remember(tag) }

    /// Ends a delivery if it is held and not being settled.
    mutating func settle(_ tag: UInt64, epoch: UInt32) -> Start {
        guard epoch == self.epoch, let index = held.index(forKey: tag) else { return gone(tag, epoch) }
        if held.values[index].isSettling { return .alreadySettled }
        let received = held.remove(at: index).value.received
        remember(tag)
        return .proceed(received)
    }

    /// Begins a settlement that takes some time; ``end(_:epoch:isSettled:)`` must follow.
    mutating func begin(_ tag: UInt64, epoch: UInt32) -> Start {
        guard epoch == self.epoch, let index = held.index(forKey: tag) else { return gone(tag, epoch) }
        if held.values[index].isSettling { return .alreadySettled }
        held.values[index].isSettling = true
        return .proceed(held.values[index].received)
    }

    /// Ends a settlement: the delivery is gone, or held again.
    ///
    /// - Returns: Whether it belonged to the consumer until now.
    mutating func end(_ tag: UInt64, epoch: UInt32, isSettled: Bool) -> Bool {
        guard epoch == self.epoch, let index = held.index(forKey: tag) else { return false }
        if isSettled {
            held.remove(at: index)
            remember(tag)
        } else {
            held.values[index].isSettling = false
            noteExpiry(held.values[index].deadline)
        }
        return true
    }

    /// Renews a lease, within its limit.
    ///
    /// - Returns: Whether the delivery is held.
    mutating func renew(_ tag: UInt64, epoch: UInt32, lease: Duration, now: Duration) -> Bool {
        guard epoch == self.epoch, let index = held.index(forKey: tag), now < held.values[index].limit else {
            return false
        }
        held.values[index].deadline = min(now + lease, held.values[index].limit)
        return true
    }

    /// Takes the deliveries whose lease has run out, by tag; those that are being settled may end.
    mutating func takeExpired(_ now: Duration) -> [UInt64] {
        guard let next = nextExpiry, next <= now else { return [] }
        var expired: [UInt64] = []
        nextExpiry = nil
        for (tag, delivery) in held {
            if delivery.deadline > now {
                noteExpiry(delivery.deadline)
            } else if !delivery.isSettling {
                expired.append(tag)
            }
        }
        for tag in expired { held[tag] = nil }
        return expired.sorted()
    }

    private mutating func noteExpiry(_ deadline: Duration) { nextExpiry = min(nextExpiry ?? deadline, deadline) }

    private func gone(_ tag: UInt64, _ epoch: UInt32) -> Start {
        let place = Int(tag % Self.remembered)
        return tag > 0 && place < ended.count && ended[place] == Ended(tag: tag, epoch: epoch)
            ? .alreadySettled : .leaseLost
    }

    private mutating func remember(_ tag: UInt64) {
        if ended.isEmpty { ended = Array(repeating: Ended(tag: 0, epoch: 0), count: Int(Self.remembered)) }
        ended[Int(tag % Self.remembered)] = Ended(tag: tag, epoch: epoch)
    }
}
#endif

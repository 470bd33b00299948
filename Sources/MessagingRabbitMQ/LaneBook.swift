#if RabbitMQ
import DequeModule
import Messaging

/// The messages of all lanes that one consumer has, and whose turn it is: of each key one at a time; without I/O.
///
/// Messages are known by the number of their arrival. A hand-over has a number of its own, so that one that ended can
/// never settle a later one.
struct LaneBook: Sendable {
    /// A message in somebody's hands.
    private struct Held: Sendable {
        var message: UInt64
        var deadline: Duration
        var limit: Duration
        var attempt: Int
    }

    /// The answer to an attempt to settle.
    enum Start: Sendable {
        case proceed(message: UInt64, attempt: Int)
        case alreadySettled
        case leaseLost
    }

    /// How many hand-overs that ended are remembered, to tell "settled before" from "never yours".
    private static let remembered = 4096

    private(set) var entries: [UInt64: LaneEntry] = [:]
    /// Messages that share a key, in their order; the first is unfinished.
    private var keys: [String: Deque<UInt64>] = [:]
    /// Messages whose turn it is, by arrival.
    private var ready: [UInt64] = []
    /// Messages whose turn it is when it is noted that they are tried.
    private var suspects: [UInt64] = []
    /// Messages that wait for their time.
    private var pausing: [UInt64: Duration] = [:]
    private var held: [UInt64: Held] = [:]
    private var trying: UInt64?
    private var settled: Set<UInt64> = []
    private var settledOrder = Deque<UInt64>()
    private var lastMessage: UInt64 = 0
    private var lastHandOver: UInt64 = 0
    private(set) var nextExpiry: Duration?

    /// How many deliveries are in somebody's hands.
    var heldCount: Int { held.count }
    var nextDue: Duration? { pausing.values.min() }

    // MARK: - Coming and going

    /// Notes a message that came.
    ///
    /// - Parameters:
    ///   - lane: Its lane.
    ///   - tag: Its tag in the current life of the lane's channel.
    ///   - wire: The message.
    ///   - due: When it may be handed over at the earliest, unless somebody has noted another time.
    ///   - isChecked: Whether it is known what earlier consumers noted about it.
    ///   - now: The time.
    /// - Returns: Its number.
    @discardableResult
    mutating func add(
        _ lane: Int,
        _ tag: UInt64,
        _ wire: WireMessage,
        due: Duration? = nil,
        isChecked: Bool,
        at now: Duration
    ) -> UInt64 {
        lastMessage += 1
        if let key = wire.message.key { keys[key, default: []].append(lastMessage) }
        entries[lastMessage] = LaneEntry(lane: lane, tag: tag, arrived: now, wire: wire, step: .unchecked, due: due)
        if isChecked { admit(lastMessage, at: now) }
        return lastMessage
    }

    /// Lets a message take its turn, as what was noted about it says.
    ///
    /// - Parameters:
    ///   - message: The message.
    ///   - note: The last note about it.
    ///   - due: When it may be handed over at the earliest.
    ///   - maxAttempts: The group's.
    ///   - now: The time.
    /// - Returns: Whether it may be handed over at all; when not it is set aside.
    mutating func check(
        _ message: UInt64,
        _ note: LaneNote?,
        due: Duration?,
        maxAttempts: Int,
        at now: Duration
    ) -> Bool {
        guard var entry = entries[message], entry.step == .unchecked else { return true }
        if let note { entry.wire = note.applied(to: entry.wire) }
        (entry.due, entry.isNoted) = (due ?? entry.due, note != nil)
        entry.isSuspect = entry.wire.attempt > maxAttempts
        let isOver = entry.isSuspect && note?.isTried == true && entry.wire.deliveries > 0
        if isOver { entry.step = .settling }
        entries[message] = entry
        if !isOver { admit(message, at: now) }
        return !isOver
    }

    /// The next message to be noted as tried; one at a time, so that no other one is suspected with it.
    mutating func takeSuspect(except lanes: Set<Int>) -> (message: UInt64, wire: WireMessage)? {
        guard !isTrying, let message = suspects.first(where: { entries[$0].map { !lanes.contains($0.lane) } ?? false }),
            let entry = entries[message]
        else { return nil }
        suspects.removeAll { $0 == message }
        entries[message]?.step = .settling
        entries[message]?.isNoted = true
        trying = message
        return (message, entry.wire)
    }

    /// It is noted that a message is tried.
    mutating func clear(_ message: UInt64, isWritten: Bool, at now: Duration) {
        guard entries[message]?.step == .settling else { return }
        if isWritten {
            entries[message]?.isSuspect = false
        } else {
            trying = nil
            entries[message]?.due = now + .seconds(1)
        }
        admit(message, at: now)
    }

    /// Whether a suspect is handed over or about to be.
    private var isTrying: Bool { trying.map { entries[$0] != nil } ?? false }

    /// Removes a message that is finished, and lets the next one of its key take its turn.
    @discardableResult
    mutating func finish(_ message: UInt64, at now: Duration) -> LaneEntry? {
        guard let entry = entries.removeValue(forKey: message) else { return nil }
        unqueue(message, entry.step)
        if let key = entry.wire.message.key { leave(key, message, at: now) }
        return entry
    }

    /// Removes everything of a lane, which belongs to others now.
    mutating func drop(_ lane: Int, at now: Duration) {
        let gone = entries.filter { $0.value.lane == lane }.map(\.key)
        for message in gone { finish(message, at: now) }
        for (handOver, delivery) in held where entries[delivery.message] == nil { held[handOver] = nil }
    }

    private mutating func leave(_ key: String, _ message: UInt64, at now: Duration) {
        guard var members = keys[key], let index = members.firstIndex(of: message) else { return }
        members.remove(at: index)
        keys[key] = members.isEmpty ? nil : members
        if index == 0, let next = members.first, entries[next]?.step == .behind { admit(next, at: now) }
    }

    private mutating func admit(_ message: UInt64, at now: Duration) {
        guard let entry = entries[message] else { return }
        if let key = entry.wire.message.key, keys[key]?.first != message {
            entries[message]?.step = .behind
        } else if let due = entry.due, due > now {
            entries[message]?.step = .pausing(until: due)
            pausing[message] = due
        } else {
            entries[message]?.step = .ready
            if entry.isSuspect {
                suspects.insert(message, at: suspects.firstIndex { $0 > message } ?? suspects.endIndex)
            } else {
                ready.insert(message, at: ready.firstIndex { $0 > message } ?? ready.endIndex)
            }
        }
    }

    private mutating func unqueue(_ message: UInt64, _ step: LaneEntry.Step) {
        switch step {
        case .ready:
            ready.removeAll { $0 == message }
            suspects.removeAll { $0 == message }
        case .pausing: pausing[message] = nil
        case .unchecked, .behind, .held, .settling: break
        }
    }

    // MARK: - Handing over

    /// How many messages can be handed over, not counting lanes that are about to be left.
    func readyCount(except lanes: Set<Int>) -> Int {
        lanes.isEmpty ? ready.count : ready.count { entries[$0].map { !lanes.contains($0.lane) } ?? false }
    }

    /// Hands messages over, oldest first.
    ///
    /// - Parameters:
    ///   - max: How many at most.
    ///   - lanes: Lanes that are about to be left.
    ///   - maxAttempts: The group's.
    ///   - lease: How long each belongs to its holder.
    ///   - longestHold: How long the broker lets anybody have it, renewed or not.
    ///   - now: The time.
    /// - Returns: The messages with the numbers of the hand-overs and their attempts.
    mutating func take(
        _ max: Int,
        except lanes: Set<Int>,
        maxAttempts: Int,
        lease: Duration,
        longestHold: Duration,
        at now: Duration
    ) -> [(handOver: UInt64, message: UInt64, wire: WireMessage, attempt: Int)] {
        var taken: [(handOver: UInt64, message: UInt64, wire: WireMessage, attempt: Int)] = []
        var left: [UInt64] = []
        for (index, message) in ready.enumerated() {
            if taken.count == max {
                left += ready[index...]
                break
            }
            guard let entry = entries[message], !lanes.contains(entry.lane) else {
                left.append(message)
                continue
            }
            lastHandOver += 1
            entries[message]?.step = .held
            // The broker counts what was on its way when a lane changed hands, so its count is a bound from above.
            let attempt = Swift.max(entry.wire.attempts + 1, min(entry.wire.attempt, maxAttempts))
            let limit = entry.arrived + longestHold
            let deadline = min(now + lease, limit)
            held[lastHandOver] = Held(message: message, deadline: deadline, limit: limit, attempt: attempt)
            nextExpiry = min(nextExpiry ?? deadline, deadline)
            taken.append((lastHandOver, message, entry.wire, attempt))
        }
        ready = left
        return taken
    }

    /// Lets messages take their turn whose time has come.
    mutating func wake(at now: Duration) {
        for (message, due) in pausing where due <= now {
            pausing[message] = nil
            admit(message, at: now)
        }
    }

    /// Renews a lease, within its limit.
    ///
    /// - Returns: Whether the delivery is held.
    mutating func renew(_ handOver: UInt64, lease: Duration, at now: Duration) -> Bool {
        guard let delivery = held[handOver], now < delivery.limit else { return false }
        held[handOver]?.deadline = min(now + lease, delivery.limit)
        return true
    }

    /// Takes messages back whose lease has run out; they are the next of their keys, with the attempt counted.
    ///
    /// - Returns: Those whose attempts are over, which are set aside.
    mutating func expire(maxAttempts: Int, at now: Duration) -> [UInt64] {
        guard let next = nextExpiry, next <= now else { return [] }
        nextExpiry = nil
        var over: [UInt64] = []
        for (handOver, delivery) in held {
            if delivery.deadline > now || entries[delivery.message]?.step == .settling {
                let deadline = max(delivery.deadline, now + .milliseconds(10))
                nextExpiry = min(nextExpiry ?? deadline, deadline)
            } else {
                held[handOver] = nil
                entries[delivery.message]?.wire.attempts += 1
                if delivery.attempt < maxAttempts {
                    admit(delivery.message, at: now)
                } else {
                    entries[delivery.message]?.step = .settling
                    over.append(delivery.message)
                }
            }
        }
        return over
    }

    // MARK: - Settling

    /// Begins to settle; ``end(_:at:)``, ``giveBack(_:at:)``, ``pause(_:_:until:at:)`` or ``resume(_:)`` must follow.
    mutating func begin(_ handOver: UInt64) -> Start {
        guard let delivery = held[handOver] else {
            return settled.contains(handOver) ? .alreadySettled : .leaseLost
        }
        if entries[delivery.message]?.step == .settling { return .alreadySettled }
        entries[delivery.message]?.step = .settling
        return .proceed(message: delivery.message, attempt: delivery.attempt)
    }

    /// The message of a hand-over that is being settled is finished.
    ///
    /// - Returns: The message; `nil` when it belongs to others by now.
    mutating func end(_ handOver: UInt64, at now: Duration) -> LaneEntry? {
        guard let delivery = held.removeValue(forKey: handOver) else { return nil }
        remember(handOver)
        return finish(delivery.message, at: now)
    }

    /// The message of a hand-over waits for its next attempt, at once or later.
    ///
    /// - Returns: Whether it is still here.
    mutating func pause(_ handOver: UInt64, _ wire: WireMessage?, until due: Duration?, at now: Duration) -> Bool {
        guard let delivery = held.removeValue(forKey: handOver) else { return false }
        remember(handOver)
        if let wire {
            entries[delivery.message]?.wire = wire
            entries[delivery.message]?.isNoted = true
        }
        entries[delivery.message]?.due = due
        admit(delivery.message, at: now)
        return true
    }

    /// A settlement came to nothing: the lease goes on.
    mutating func resume(_ handOver: UInt64) {
        guard let delivery = held[handOver] else { return }
        entries[delivery.message]?.step = .held
        nextExpiry = min(nextExpiry ?? delivery.deadline, delivery.deadline)
    }

    private mutating func remember(_ handOver: UInt64) {
        settled.insert(handOver)
        settledOrder.append(handOver)
        if settledOrder.count > Self.remembered, let first = settledOrder.popFirst() { settled.remove(first) }
    }

    // MARK: - Lanes

    /// How much of each lane is here.
    func counts() -> [Int: (all: Int, held: Int, oldest: Duration)] {
        var counts: [Int: (all: Int, held: Int, oldest: Duration)] = [:]
        for entry in entries.values {
            let isHeld = entry.isHeld
            var count = counts[entry.lane] ?? (0, 0, entry.arrived)
            count = (count.all + 1, count.held + (isHeld ? 1 : 0), min(count.oldest, entry.arrived))
            counts[entry.lane] = count
        }
        return counts
    }

    /// Whether copies of messages of a lane are on their way.
    func isSettling(_ lane: Int) -> Bool { entries.values.contains { $0.lane == lane && $0.step == .settling } }

    /// What of a lane nobody has in hands, oldest first.
    ///
    /// - Parameters:
    ///   - lane: The lane.
    ///   - last: Only what came after this message.
    /// - Returns: The messages.
    func unheld(_ lane: Int, after last: UInt64) -> [(message: UInt64, entry: LaneEntry)] {
        entries.filter { $0.value.lane == lane && $0.key > last && !$0.value.isHeld }
            .sorted { $0.key < $1.key }.map { (message: $0.key, entry: $0.value) }
    }
}
#endif

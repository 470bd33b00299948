#if RabbitMQ
import Logging
import Messaging
import Synchronization

/// The connection that holds what is reserved: messages that were handed over and are not acknowledged.
///
/// When it ends, whyever, the broker has them back where they were.
final class TransferSession: Sendable {
    /// What is reserved of one queue.
    struct Counts: Sendable {
        var dead: [String: Int] = [:]
        var waiting = 0
    }

    private struct Held: Sendable {
        var tag: UInt64
        /// The broker's queue that it came from.
        var source: String
        var stored: StoredMessage
    }

    /// What is held, by queue and id; copies that are the same in everything share an id.
    private struct Table: Sendable {
        var generation = 0
        var held: [String: [String: [Held]]] = [:]
    }

    /// The most that one client reserves at a time.
    private static let most = 10_000
    /// As many dead letters are looked at first; four times as many in each round.
    private static let firstRound = 256
    /// As many messages of each level are looked at first at least; twice as many in each round.
    private static let smallest = 16
    /// As many acknowledgements reach a queue for certain when the channel ends; its room is 32.
    private static let fewAcknowledgements = 20
    /// How long a queue is asked for what was given back to it.
    private static let patience: Duration = .milliseconds(250)

    private let configuration: RabbitMQConfiguration
    private let logger: Logger
    /// Made when it is needed: it has a thread of its own.
    private let administration = Mutex<Administration?>(nil)
    /// Only jobs on the connection's thread touch it, one at a time.
    private let table = Mutex(Table())

    init(_ configuration: RabbitMQConfiguration, logger: Logger) {
        self.configuration = configuration
        self.logger = logger
    }

    // MARK: - Jobs

    private func run<Value: Sendable>(
        _ queue: String,
        _ job: @escaping @Sendable (AdminChannel, inout [String: [Held]]) throws(QueueError) -> Value
    ) async throws(QueueError) -> Value {
        let administration = administration.withLock { administration in
            if let administration { return administration }
            let made = Administration(configuration, logger: logger)
            administration = made
            return made
        }
        return try await administration.run(queue) { [self] (channel) throws(QueueError) in
            var held = table.withLock { table in
                if table.generation != channel.generation { table = Table(generation: channel.generation) }
                return table.held[queue] ?? [:]
            }
            defer { table.withLock { $0.held[queue] = held.isEmpty ? nil : held } }
            return try job(channel, &held)
        }
    }

    /// How much is reserved; asks nobody when nothing was ever reserved.
    func counts(of queue: String) async throws(QueueError) -> Counts {
        guard administration.withLock({ $0 != nil }) else { return Counts() }
        return try await run(queue) { (_, held) throws(QueueError) in
            var counts = Counts()
            for copies in held.values {
                for copy in copies {
                    if copy.stored.state == .dead {
                        counts.dead[copy.stored.group ?? "", default: 0] += 1
                    } else {
                        counts.waiting += 1
                    }
                }
            }
            return counts
        }
    }

    /// What is reserved.
    func reserved(of queue: String) async throws(QueueError) -> [StoredMessage] {
        guard administration.withLock({ $0 != nil }) else { return [] }
        return try await run(queue) { (_, held) throws(QueueError) in held.values.compactMap { $0.first?.stored } }
    }

    /// Takes messages out of everybody's reach.
    func reserve(
        _ ids: [String],
        _ routes: TransferRoutes,
        levels: [Int]
    ) async throws(QueueError) -> [String] {
        let queue = routes.queue
        return try await run(queue) { (channel, held) throws(QueueError) in
            var wanted: [TransferPlan.Place: Set<String>] = [:]
            for id in ids where held[id] == nil {
                if let place = TransferPlan.place(id) { wanted[place, default: []].insert(id) }
            }
            if held.count + wanted.values.reduce(0, { $0 + $1.count }) > Self.most {
                throw QueueError(
                    .invalidArgument,
                    "one client reserves at most \(Self.most) messages of a queue at a time; remove or put back some first",
                    queue: queue
                )
            }
            for (place, ids) in wanted {
                switch place {
                case .dead(let group) where routes.groups.contains(group):
                    try Self.takeDead(ids, queue, group, channel, &held)
                case .dead: break
                case .later: try Self.takeLater(ids, routes, levels, channel, &held)
                }
            }
            return ids.filter { held[$0] != nil }
        }
    }

    /// Walks through the dead letters of a group until all that is wanted was found; the others go back.
    ///
    /// Each round subscribes for exactly what is there: a subscription that is used up can be cancelled at any time (see
    /// ``SubscriptionPlan``).
    private static func takeDead(
        _ ids: Set<String>,
        _ queue: String,
        _ group: String,
        _ channel: AdminChannel,
        _ held: inout [String: [Held]]
    ) throws(QueueError) {
        let source = RabbitNames.dead(queue, group)
        var missing = ids
        var others: [UInt64: String] = [:]
        var size = firstRound
        while !missing.isEmpty {
            let count = min(try channel.ready(in: source), size, 65535)
            if count == 0 { break }
            let tag = "reserve-\(MessageID.make())"
            try channel.calls([.prefetch(UInt16(count)), .consume(queue: source, tag: tag)])
            for _ in 0..<count {
                let message = try channel.nextMessage()
                let stored = TransferPlan.dead(message, queue: queue, group: group)
                if ids.contains(stored.id) {
                    held[stored.id, default: []].append(Held(tag: message.tag, source: source, stored: stored))
                    missing.remove(stored.id)
                } else {
                    others[message.tag] = source
                }
            }
            try channel.call(.cancel(tag: tag))
            size = min(size * 4, 65535)
        }
        try giveBack(others, channel)
    }

    /// Looks at all levels in turn until all that is wanted was found; the others go back.
    ///
    /// From the top down, as the messages go; twice, because one on its way between two levels is in none.
    private static func takeLater(
        _ ids: Set<String>,
        _ routes: TransferRoutes,
        _ levels: [Int],
        _ channel: AdminChannel,
        _ held: inout [String: [Held]]
    ) throws(QueueError) {
        let now = UnixTime.milliseconds()
        var missing = ids
        var others: [UInt64: String] = [:]
        for _ in 0..<2 where !missing.isEmpty {
            var batch = max(Self.smallest, missing.count)
            // What comes into a level later is looked for the second time, or not at all.
            var unseen = Dictionary(uniqueKeysWithValues: zip(levels, try ready(levels, channel)))
            while !missing.isEmpty {
                let open = levels.filter { unseen[$0, default: 0] > 0 }
                if open.isEmpty { break }
                for (level, count) in zip(open, try ready(open, channel)) where !missing.isEmpty {
                    let size = min(count, unseen[level, default: 0], batch)
                    unseen[level] = size == 0 ? 0 : unseen[level, default: 0] - size
                    if size == 0 { continue }
                    let source = DelayPlan.name(level)
                    let tag = "reserve-\(MessageID.make())"
                    func sort(_ message: IncomingMessage) {
                        let stored = TransferPlan.later(message, level: level, routes, now: now)
                        if let stored, ids.contains(stored.id) {
                            held[stored.id, default: []].append(Held(tag: message.tag, source: source, stored: stored))
                            missing.remove(stored.id)
                        } else {
                            others[message.tag] = source
                        }
                    }
                    _ = try channel.take(from: source, tag: tag, count: size, sort)
                    try channel.cancel(tag, sort)
                }
                batch = min(batch * 2, Self.most)
            }
        }
        try giveBack(others, channel)
    }

    /// How many messages are ready in levels.
    private static func ready(_ levels: [Int], _ channel: AdminChannel) throws(QueueError) -> [Int] {
        let counts = try channel.counts(levels.map(DelayPlan.name))
        guard !counts.contains(where: { $0 == nil }) else {
            throw QueueError(.unavailable, "the leader of a delay level does not answer RabbitMQ; try again")
        }
        return counts.map { $0?.messages ?? 0 }
    }

    /// Gives messages back, and waits until their queues count them.
    ///
    /// Nothing answers a message that is given back. So the queues are asked until they have as many as they should, or for
    /// a moment: others may take some meanwhile.
    private static func giveBack(_ tags: [UInt64: String], _ channel: AdminChannel) throws(QueueError) {
        if tags.isEmpty { return }
        let sources = Set(tags.values).sorted()
        var expected: [Int] = []
        for (source, reply) in zip(sources, try channel.calls(sources.map { .queueExists($0) })) {
            expected.append(reply.messages + tags.values.count { $0 == source })
        }
        for tag in tags.keys.sorted() { try channel.send(.requeue(tag)) }
        var most = 0
        var end = QueueClock.system.now() + patience
        while true {
            let asked = QueueClock.system.now()
            let counts = try channel.calls(sources.map { .queueExists($0) }).map(\.messages)
            if zip(counts, expected).allSatisfy({ $0 >= $1 }) || asked >= end { return }
            let sum = counts.reduce(0, +)
            // As long as some come back, the others are under way.
            if sum > most { (most, end) = (sum, QueueClock.system.now() + patience) }
        }
    }

    /// Gives reserved messages back.
    func putBack(_ ids: [String], of queue: String) async throws(QueueError) -> [String] {
        guard administration.withLock({ $0 != nil }) else { return [] }
        return try await run(queue) { (channel, held) throws(QueueError) in
            var done: [String] = []
            var copies: [Held] = []
            for id in ids {
                guard let own = held.removeValue(forKey: id) else { continue }
                done.append(id)
                copies += own
            }
            try Self.giveBack(Dictionary(copies.map { ($0.tag, $0.source) }) { first, _ in first }, channel)
            return done
        }
    }

    /// Acknowledges reserved messages.
    func remove(_ ids: [String], of queue: String) async throws(QueueError) -> [String] {
        guard administration.withLock({ $0 != nil }) else { return [] }
        return try await run(queue) { (channel, held) throws(QueueError) in
            var done: [String] = []
            var copies: [Held] = []
            for id in ids {
                guard let own = held.removeValue(forKey: id) else { continue }
                done.append(id)
                copies += own
            }
            for part in copies.split(by: Self.fewAcknowledgements) {
                for copy in part { try channel.send(.acknowledge(copy.tag, multiple: false)) }
                // The answers come after the acknowledgements have.
                try channel.calls(Set(part.map(\.source)).sorted().map { .queueExists($0) })
            }
            return done
        }
    }

    func close() async {
        let administration = administration.withLock { $0 }
        await administration?.close()
    }
}
#endif

import Messaging
import Synchronization

/// This library on a backend: one publisher, and consumers that receive, acknowledge and receive again.
final class QueueContender: Contender {
    let name = "swift-message-queue"
    private let queue: any MessageQueue
    private let target: String
    private let group: String
    private let settings: BenchmarkSettings
    private let body: [UInt8]
    private let members = Mutex<[any QueueConsumer]>([])
    private let published = Mutex(0)

    init(
        _ queue: any MessageQueue,
        target: String,
        group: String = BenchmarkSettings.group(0),
        _ settings: BenchmarkSettings
    ) {
        self.queue = queue
        self.target = target
        self.group = group
        self.settings = settings
        body = [UInt8](repeating: UInt8(ascii: "x"), count: settings.size)
    }

    func publish(_ count: Int) async throws -> Duration {
        let clock = ContinuousClock()
        var time = Duration.zero
        var left = count
        while left > 0 {
            try Task.checkCancellation()
            let size = min(left, settings.batch)
            let first = published.withLock { number in
                defer { number += size }
                return number
            }
            // Making messages and their ids is part of publishing with this library.
            let start = clock.now
            let messages = (first..<first + size).map { Message(body: body, key: settings.key($0)) }
            let outcomes = try await queue.publish(messages, to: target)
            time += clock.now - start
            if let error = outcomes.lazy.compactMap(\.error).first { throw error }
            left -= size
            // In this process nothing is waited for, and whoever wants to stop this needs a thread as well.
            await Task.yield()
        }
        return time
    }

    /// Opens the consumers, if that has not been done.
    func open() async throws -> [any QueueConsumer] {
        let there = members.withLock { $0 }
        if !there.isEmpty { return there }
        var opened: [any QueueConsumer] = []
        do {
            for number in 0..<settings.consumers {
                opened.append(try await queue.consume(target, group: group, consumer: "bench-\(number + 1)"))
            }
        } catch {
            for member in opened { await member.close() }
            throw error
        }
        members.withLock { $0 = opened }
        return opened
    }

    func consume(_ count: Int) async throws -> Taken {
        let members = try await open()
        let clock = ContinuousClock()
        let start = clock.now
        let share = Share(count)
        if members.count == 1, let member = members.first {
            if isEmbedded { try await drainInTurns(member, share) } else { try await drainAlone(member, share) }
            return Taken(count: share.taken, time: clock.now - start)
        }
        let time = try await withThrowingTaskGroup(of: Void.self) { tasks in
            for member in members { tasks.addTask { try await self.drain(member, share) } }
            // Who ends first has seen the last message; the others may wait for more.
            try await tasks.next()
            let time = clock.now - start
            tasks.cancelAll()
            try await tasks.waitForAll()
            return time
        }
        return Taken(count: share.taken, time: time)
    }

    /// Whether the backend works in this process, so that nothing is ever on its way.
    private var isEmbedded: Bool { ["memory", "sqlite"].contains(queue.system) }

    private func drainInTurns(_ member: any QueueConsumer, _ share: Share) async throws {
        var sinceYielding = 0
        while share.left > 0 {
            try Task.checkCancellation()
            let deliveries = try await receive(member, share)
            try await acknowledge(deliveries, member)
            share.add(deliveries.count)
            sinceYielding += deliveries.count
            // As above; seldom, because this is timed.
            if sinceYielding >= 1024 {
                sinceYielding = 0
                await Task.yield()
            }
        }
    }

    /// Acknowledges one batch while the next one is on its way, as the plain client does.
    private func drainAlone(_ member: any QueueConsumer, _ share: Share) async throws {
        var deliveries = try await receive(member, share)
        while true {
            try Task.checkCancellation()
            share.add(deliveries.count)
            let batch = deliveries
            async let acknowledged: Void = acknowledge(batch, member)
            let isLast = share.left <= 0
            if !isLast { deliveries = try await receive(member, share) }
            try await acknowledged
            if isLast { return }
        }
    }

    private func drain(_ member: any QueueConsumer, _ share: Share) async throws {
        while share.left > 0 {
            let taken: Int
            do {
                // What was received is acknowledged, although the others have ended meanwhile.
                taken = try await take(member, share)
            } catch let error as QueueError where error.code == .cancelled && share.left <= 0 {
                return
            }
            share.add(taken)
        }
    }

    private func take(_ member: any QueueConsumer, _ share: Share) async throws -> Int {
        let deliveries = try await receive(member, share)
        if !deliveries.isEmpty { try await Task { try await self.acknowledge(deliveries, member) }.value }
        return deliveries.count
    }

    private func receive(_ member: any QueueConsumer, _ share: Share) async throws -> [Delivery] {
        let before = share.taken
        let most = settings.consumers == 1 ? min(settings.batch, share.left) : settings.batch
        let deliveries = try await member.receive(max: max(1, most), wait: settings.patience)
        if deliveries.isEmpty, share.taken == before {
            throw QueueError(
                .brokerError,
                "\(share.left) messages did not come within \(settings.patience)",
                queue: target
            )
        }
        return deliveries
    }

    private func acknowledge(_ deliveries: [Delivery], _ member: any QueueConsumer) async throws {
        let outcomes = try await member.settle(deliveries.map { SettleRequest($0.receipt, .acknowledge) })
        if let error = outcomes.lazy.compactMap(\.error).first { throw error }
    }

    func close() async {
        let members = members.withLock { members in
            defer { members = [] }
            return members
        }
        for member in members { await member.close() }
    }
}

/// How many messages consumers have together, and how many they still want.
private final class Share: Sendable {
    private let wanted: Int
    private let count = Mutex(0)

    init(_ wanted: Int) { self.wanted = wanted }

    var taken: Int { count.withLock { $0 } }
    var left: Int { wanted - taken }
    func add(_ number: Int) { count.withLock { $0 += number } }
}

#if Redis
import Logging
import Messaging
import NIOConcurrencyHelpers

/// A member of a group on Redis: reads with its own blocking connection, settles by scripts on the shared one.
final class RedisConsumer: QueueConsumer {
    struct State {
        var ledger = SettlementLedger()
        /// Settlements whose answer never came.
        var unknown: Set<Receipt> = []
        var plan = ReadPlan()
        var isClosed = false
        /// What gives back all that was held; whoever else closes this consumer waits for it too.
        var leaving: Task<Void, Never>?
        var acknowledged = 0
    }

    let queue: String
    let group: String
    let name: String
    let lease: Duration

    let owner: RedisQueue
    let keeper: GroupKeeper
    let keys: RedisKeys
    let own: RedisKeys.Group
    private let mode: ConsumerOptions.Mode
    private let reader: GroupReader
    private let gate = Gate()
    private let logger: Logger
    let state = NIOLockedValueBox(State())

    /// How long closing may take when the server does not answer.
    static let closeLimit: Duration = .seconds(5)
    /// After so many acknowledged messages the stream is trimmed along the way.
    static let trimEvery = 2000

    init(owner: RedisQueue, keeper: GroupKeeper, group: GroupDefinition, name: String, mode: ConsumerOptions.Mode) {
        self.owner = owner
        self.keeper = keeper
        self.keys = keeper.queueKeys
        self.own = keys.group(group.name)
        self.queue = keys.queue
        self.group = group.name
        self.name = name
        self.lease = group.lease
        self.mode = mode
        var logger = owner.logger
        logger[metadataKey: LogKeys.queue] = .string(keys.queue)
        logger[metadataKey: LogKeys.group] = .string(group.name)
        logger[metadataKey: LogKeys.consumer] = .string(name)
        self.logger = logger
        self.reader = GroupReader(owner.configuration, control: owner.link, logger: logger)
    }

    /// Registers with the server: Redis does so by itself only when there is something to read.
    func register() async throws(QueueError) {
        var writer = RESPWriter()
        for stream in [keys.log, own.retry] { writer.command(["XGROUP", "CREATECONSUMER", stream, group, name]) }
        for reply in try await owner.link.send(writer) {
            // A full server refuses the registration, not the reading that makes room; that registers too.
            if reply.error?.hasPrefix("OOM") == true { continue }
            if reply.error?.contains("NOGROUP") == true || reply.error?.contains("requires the key to exist") == true {
                guard try await owner.recreate(queue) else { _ = try reply.checked(queue); return }
                for reply in try await owner.link.send(writer) { _ = try reply.checked(queue) }
                return
            }
            _ = try reply.checked(queue)
        }
    }

    // MARK: - Receiving

    func receive(max: Int, wait: Duration) async throws(QueueError) -> [Delivery] {
        guard 1...1000 ~= max else {
            throw QueueError(.invalidArgument, "receive takes 1 to 1000 deliveries, not \(max)", queue: queue)
        }
        let clock = QueueClock.system
        let deadline = clock.now() + Swift.max(wait, .zero)
        var failures = 0
        while true {
            try checkOpen()
            if Task.isCancelled { throw cancelled }
            let failure: QueueError
            do throws(QueueError) {
                let deliveries = try await turn(max: max, until: deadline)
                if !deliveries.isEmpty || clock.now() >= deadline { return deliveries }
                failures = 0
                continue
            } catch {
                failure = error
            }
            if failure.code == .topologyLost || failure.code == .notFound {
                guard failures < 3, try await owner.recreate(queue) else { throw failure }
                failures += 1
                continue
            }
            guard failure.isRetryable else { throw failure }
            failures += 1
            let pause = Backoff.delay(failures)
            if clock.now() + pause >= deadline {
                throw QueueError(
                    .unavailable,
                    failure.message,
                    queue: queue,
                    underlying: failure.underlying
                )
            }
            do { try await clock.sleep(for: pause) } catch { throw cancelled }
        }
    }

    /// One look at the group, alone on the connection.
    private func turn(max: Int, until deadline: Duration) async throws(QueueError) -> [Delivery] {
        guard await gate.enter() else { throw isClosed ? RedisLink.closedError : cancelled }
        defer { gate.leave() }
        let remaining = Swift.max(.zero, deadline - QueueClock.system.now())
        var step = state.withLockedValue { $0.plan.next(max: max, mayBlock: remaining > .zero) }
        var entries = try await read(step, block: remaining)
        if entries.isEmpty, let rest = step.rest {
            step = rest
            entries = try await read(step, block: remaining)
        }
        state.withLockedValue { $0.plan.found(entries, by: step) }
        if entries.isEmpty { return [] }
        if Task.isCancelled || isClosed {
            await giveBack(entries.map(\.receipt), counted: false)
            throw isClosed ? RedisLink.closedError : cancelled
        }
        return try await handOver(entries, max: max)
    }

    private func read(_ step: ReadPlan.Step, block: Duration) async throws(QueueError) -> [GroupReader.Item] {
        try await reader.read(
            step,
            log: keys.log,
            retry: own.retry,
            group: group,
            consumer: name,
            block: min(block, owner.configuration.heartbeat)
        )
    }

    /// Turns entries into deliveries.
    ///
    /// What is no message goes to the dead letters, and the rest flows on.
    private func handOver(_ entries: [GroupReader.Item], max: Int) async throws(QueueError) -> [Delivery] {
        var deliveries: [Delivery] = []
        deliveries.reserveCapacity(entries.count)
        for item in entries {
            if let problem = item.entry.problem {
                await reject(item, problem)
            } else {
                deliveries.append(delivery(item))
            }
        }
        // One command over both streams can bring one entry of each; what nobody asked for goes to whoever is free.
        let surplus = deliveries.dropFirst(max)
        if !surplus.isEmpty {
            await giveBack(surplus.map(\.receipt), counted: false)
            deliveries.removeLast(surplus.count)
        }
        if mode == .atMostOnce { return try await settled(deliveries) }
        state.withLockedValue { state in
            for delivery in deliveries { state.ledger.handOver(delivery.receipt) }
        }
        return deliveries
    }

    private func delivery(_ item: GroupReader.Item) -> Delivery {
        let entry = item.entry
        let published = entry.published ?? Int64(clamping: item.id.milliseconds)
        return Delivery(
            message: entry.message,
            queue: queue,
            group: group,
            attempt: entry.previousAttempts + 1,
            receipt: item.receipt,
            publishedAt: UnixTime.date(published),
            redrives: entry.redrives,
            history: entry.history
        )
    }

    private func reject(_ item: GroupReader.Item, _ problem: String) async {
        logger.notice(
            "an entry is no message and goes to the dead letters",
            metadata: [LogKeys.messageID: "\(item.id)", LogKeys.error: "\(problem)"]
        )
        let call = rejectCall(item.receipt, .undecodable, problem)
        do throws(QueueError) {
            _ = try await owner.link.run(call, queue: queue)
        } catch {
            // It stays pending and is tried again when its lease has run out.
            logger.warning("a dead letter could not be written", metadata: [LogKeys.error: "\(error)"])
        }
    }

    /// At most once: acknowledged before the hand-over, and handed over only when that is certain.
    private func settled(_ deliveries: [Delivery]) async throws(QueueError) -> [Delivery] {
        state.withLockedValue { state in
            for delivery in deliveries { state.ledger.handOver(delivery.receipt) }
        }
        let outcomes = try await settle(deliveries.map { SettleRequest($0.receipt, .acknowledge) })
        return zip(deliveries, outcomes).compactMap { delivery, outcome in
            if case .settled = outcome { delivery } else { nil }
        }
    }

    // MARK: - Renewing

    func renew(_ receipts: [Receipt]) async throws(QueueError) -> [Bool] {
        try checkOpen()
        var kept: [Receipt: Bool] = [:]
        for source in [GroupReader.logSource, GroupReader.privateSource] {
            let ids = receipts.filter { $0.source == source }.map(EntryID.init).sorted()
            if ids.isEmpty { continue }
            let stream = source == GroupReader.logSource ? keys.log : own.retry
            for start in stride(from: 0, to: ids.count, by: 1000) {
                let page = ids[start..<min(start + 1000, ids.count)]
                let answers = try await owner.link.run(
                    ScriptCall(.renew, keys: [stream], [group, name] + page.map(\.description)),
                    queue: queue
                ).integers
                for (id, answer) in zip(page, answers) { kept[id.receipt(source)] = answer == 1 }
            }
        }
        return state.withLockedValue { state in
            receipts.map { receipt in
                let isKept = kept[receipt] == true
                if !isKept { state.ledger.lose(receipt) }
                return isKept
            }
        }
    }

    // MARK: - Closing

    func close() async {
        let leaving = state.withLockedValue { state in
            if let leaving = state.leaving { return leaving }
            state.isClosed = true
            let leaving = Task { await self.end() }
            state.leaving = leaving
            return leaving
        }
        await leaving.value
    }

    private func end() async {
        // A server that hangs must not hold up the end: what cannot be given back comes again after its lease.
        await Deadline.run(Self.closeLimit) { await self.leave() }
        reader.close()
        owner.forget(self)
    }

    private func leave() async {
        await reader.shut()
        // A read that is under way gives back what it gets; then nobody else enters.
        await gate.close()
        let held = state.withLockedValue { $0.ledger.takeAll() }
        await giveBack(held, counted: true)
        await keeper.leave(name)
        _ = try? await owner.link.run(
            ScriptCall(.leave, keys: [keys.log, own.retry, own.seen], [group, name]),
            queue: queue
        )
    }

    /// Makes deliveries available to others at once.
    private func giveBack(_ receipts: [Receipt], counted: Bool) async {
        var calls: [ScriptCall] = []
        for source in [GroupReader.logSource, GroupReader.privateSource] {
            let ids = receipts.filter { $0.source == source }.map(EntryID.init).sorted()
            let isPrivate = source == GroupReader.privateSource
            for start in stride(from: 0, to: ids.count, by: 100) {
                let page = ids[start..<min(start + 100, ids.count)].map(\.description)
                calls.append(
                    ScriptCall(
                        .release,
                        keys: [isPrivate ? own.retry : keys.log, own.retry, keys.deadLetters, keys.meta],
                        [group, name, isPrivate ? "1" : "0", counted ? "1" : "0"] + page
                    )
                )
            }
        }
        if calls.isEmpty { return }
        do throws(QueueError) {
            for reply in try await owner.link.run(calls) { _ = try reply.checked(queue) }
        } catch {
            logger.warning(
                "deliveries could not be given back; they come again when their lease has run out",
                metadata: [LogKeys.error: "\(error)", LogKeys.count: "\(receipts.count)"]
            )
        }
    }

    private var isClosed: Bool { state.withLockedValue { $0.isClosed } }

    func checkOpen() throws(QueueError) {
        if isClosed { throw QueueError(.closed, "the consumer was closed", queue: queue, isRetryable: false) }
    }

    private var cancelled: QueueError { QueueError(.cancelled, "receive was cancelled", queue: queue) }
}
#endif

import Foundation
import GRDB
import Logging
import Messaging
import MessagingMemory
import TestSupport

@testable import MessagingSQLite

/// A queue in memory and one in a file, on one clock that stands still between operations.
///
/// Both get the same random operations. What the contract leaves open is taken out of the comparison where it arises;
/// a comment says why.
struct TwinQueues {
    struct Difference: Error, CustomStringConvertible {
        let description: String
    }

    /// One delivery as each of the two handed it over.
    struct Twin {
        let model: Delivery
        let real: Delivery
        var until: Duration
    }

    struct Consumer {
        let group: GroupDefinition
        let mode: ConsumerOptions.Mode
        let client: Int
        let model: any QueueConsumer
        let real: any QueueConsumer
        var held: [Twin] = []
        /// What has ended, to be settled once more.
        var ended: [Twin] = []
    }

    var log: [String] = []
    let name = "orders"
    let clock = ManualClock()
    let file: TemporaryFile
    private var generator: SeededGenerator
    var definition: QueueDefinition
    /// Two clients each, as in two processes.
    var models: [MemoryQueue]
    var reals: [SQLiteQueue]
    private var consumers: [Consumer] = []
    private var ids: [MessageID] = []
    private var last = 0
    private var dues: Set<Int64> = []
    /// Whether nothing is scheduled or redriven: the model counts their age from when they became available.
    let isPlain: Bool

    init(seed: UInt64) async throws {
        file = try TemporaryFile()
        var generator = SeededGenerator(seed: seed)
        isPlain = Int.random(in: 0..<4, using: &generator) == 0
        let groups = (0..<Int.random(in: 1...3, using: &generator)).map { Self.group("g\($0)", &generator) }
        definition = QueueDefinition(
            name,
            groups: groups,
            dedupeWindow: [.zero, .seconds(5), .seconds(1000)].randomElement(using: &generator) ?? .zero,
            // The model counts it from the end and the file from the publication: none, or longer than any run.
            retention: Int.random(in: 0..<4, using: &generator) == 0 ? .seconds(86400 * 365) : .zero,
            maxReady: Int.random(in: 0..<3, using: &generator) == 0 ? Int.random(in: 3...12, using: &generator) : nil,
            ordering: Bool.random(using: &generator) ? .keyed : .unordered
        )
        self.generator = generator
        let first = MemoryQueue(clock: clock.queueClock)
        models = [first, first.makeClient()]
        reals = [file.makeQueue(clock: clock.queueClock), file.makeQueue(clock: clock.queueClock)]
        try await models[0].declare(definition)
        try await reals[1].declare(definition)
    }

    private static func group(_ name: String, _ generator: inout SeededGenerator) -> GroupDefinition {
        GroupDefinition(
            name,
            lease: .milliseconds(Int.random(in: 1...5, using: &generator) * 700),
            maxAttempts: Int.random(in: 1...4, using: &generator)
        )
    }

    func close() async {
        for model in models { await model.close() }
        for real in reals { await real.close() }
    }

    // MARK: - Steps

    mutating func step() async throws {
        switch Int.random(in: 0..<100, using: &generator) {
        case 0..<25: try await publish()
        case 25..<50: try await receive()
        case 50..<68: try await settle()
        case 68..<72: try await renew()
        case 72..<82: try await advance()
        case 82..<85: try await open()
        case 85..<87: try await closeConsumer()
        case 87..<90: try await changeDeadLetters()
        case 90..<92: try await cancel()
        case 92..<94: try await addGroup()
        case 94..<95: try await reopen()
        case 95..<97: try await keepUp()
        default: try await settleEnded()
        }
        try await compareFigures()
        // Not always, because what has to be done for it hides what the file does by itself.
        if Int.random(in: 0..<3, using: &generator) == 0 { try await compareListings() }
    }

    private mutating func client() -> Int { Int.random(in: 0..<2, using: &generator) }

    private mutating func publish() async throws {
        var messages: [Message] = []
        for _ in 0..<Int.random(in: 1...6, using: &generator) {
            var id = MessageID("m\(last)")
            last += 1
            var body = "body of \(id)"
            if let known = ids.randomElement(using: &generator), definition.dedupeWindow > .zero,
                Int.random(in: 0..<6, using: &generator) == 0
            {
                id = known
                body = "body of \(id)"
                if Int.random(in: 0..<3, using: &generator) == 0 { body += " changed" }
            }
            ids.append(id)
            var message = Message(text: body, id: id)
            if Int.random(in: 0..<3, using: &generator) > 0 {
                message.key = "k\(Int.random(in: 0..<3, using: &generator))"
            }
            if Bool.random(using: &generator) { message.headers = ["h": "\(last)"] }
            if !isPlain, Int.random(in: 0..<5, using: &generator) == 0 {
                message.due = due()
            }
            messages.append(message)
        }
        let client = client()
        log.append("publish \(messages.map { "\($0.id) \($0.key ?? "-") \($0.due.map { "\($0)" } ?? "")" })")
        let model = try await models[client].publish(messages, to: name)
        let real = try await reals[client].publish(messages, to: name)
        log.append("    \(model.map(Self.text))")
        try expectSame(model.map(Self.text), real.map(Self.text), "outcomes of publish")
    }

    /// A time from a little in the past on.
    ///
    /// Delays end at even milliseconds and dates lie half a millisecond behind one, so that no date is met exactly and
    /// no two messages come at once: the model keeps dates as they are, the file in milliseconds.
    private mutating func due() -> Message.Due {
        let now = UnixTime.milliseconds(clock.date)
        var delay = Int64.random(in: -100..<2000, using: &generator) * 2
        while !dues.insert(now + delay).inserted { delay += 2 }
        if Bool.random(using: &generator) { return .after(.milliseconds(delay)) }
        return .at(UnixTime.date(now + delay).addingTimeInterval(0.0005))
    }

    private mutating func receive() async throws {
        if consumers.isEmpty { try await open() }
        guard let index = consumers.indices.randomElement(using: &generator) else { return }
        let consumer = consumers[index]
        var max = Int.random(in: 1...8, using: &generator)
        // Which of several that were taken back comes first is open: all of them at once.
        max = Swift.max(max, try await again(consumer.group.name))
        var model = try await consumer.model.receive(max: max, wait: .zero)
        var real = try await consumer.real.receive(max: max, wait: .zero)
        if consumer.mode == .atMostOnce {
            // What each delivery leaves to the next one of its key comes with this call or with another one.
            model += try await Self.rest(consumer.model)
            real += try await Self.rest(consumer.real)
        }
        let order = { (left: Delivery, right: Delivery) in Self.text(left) < Self.text(right) }
        model.sort(by: order)
        real.sort(by: order)
        log.append("receive \(max) by \(consumer.model.name) of \(consumer.group.name): \(model.map(Self.text))")
        try expectSame(model.map(Self.text), real.map(Self.text), "deliveries to \(consumer.group.name)")
        let until = clock.now + consumer.group.lease
        let twins = zip(model, real).map { Twin(model: $0, real: $1, until: until) }
        if consumer.mode == .atLeastOnce {
            consumers[index].held += twins
        } else {
            consumers[index].ended += twins
        }
    }

    private static func rest(_ consumer: any QueueConsumer) async throws -> [Delivery] {
        var all: [Delivery] = []
        for _ in 0..<1000 {
            let more = try await consumer.receive(max: 100, wait: .zero)
            if more.isEmpty { break }
            all += more
        }
        return all
    }

    /// How many messages of a group were taken back, redriven or retried and are due.
    private func again(_ group: String) async throws -> Int {
        let now = UnixTime.milliseconds(clock.date)
        return try await SQLiteStorage(reals[0]).read { database in
            let rows = try Int.fetchOne(
                database,
                sql: """
                    SELECT (SELECT count(*) FROM mq_waiting w WHERE w.group_id = g.id AND due <= ?1)
                        + (SELECT count(*) FROM mq_inflight i WHERE i.group_id = g.id AND until <= ?1)
                        + (SELECT count(*) FROM mq_held h WHERE h.group_id = g.id)
                    FROM mq_group g WHERE name = ?2
                    """,
                arguments: [now, group]
            )
            return rows ?? 0
        }
    }

    private func hasUnread() async throws -> Bool {
        try await SQLiteStorage(reals[0]).read { database in
            try Bool.fetchOne(
                database,
                sql:
                    "SELECT EXISTS (SELECT 1 FROM mq_group JOIN mq_queue q ON q.id = queue_id WHERE cursor < next_seq - 1)"
            ) ?? true
        }
    }

    private mutating func settle() async throws {
        try await look()
        guard let index = consumers.indices.filter({ !consumers[$0].held.isEmpty }).randomElement(using: &generator)
        else { return }
        consumers[index].held.shuffle(using: &generator)
        if Bool.random(using: &generator) {
            // Neighbours, as a consumer settles them that works through what it got.
            consumers[index].held.sort { $0.real.receipt.low < $1.real.receipt.low }
        }
        let count = Int.random(in: 1...consumers[index].held.count, using: &generator)
        let twins = Array(consumers[index].held.prefix(count))
        let same = Bool.random(using: &generator) ? settlement() : nil
        let settlements = twins.map { _ in same ?? settlement() }
        log.append(
            "settle by \(consumers[index].model.name): \(zip(twins, settlements).map { "\(Self.text($0.model)) \($1)" })"
        )
        try await settle(twins, settlements, by: index)
        consumers[index].held.removeFirst(count)
        consumers[index].ended += twins
    }

    private mutating func settlement() -> Settlement {
        switch Int.random(in: 0..<10, using: &generator) {
        case 0..<5: .acknowledge
        case 5: .discard
        case 6: .release
        case 7: .retry(after: .milliseconds(Int.random(in: -100...3000, using: &generator)), error: "retry")
        case 8: .retry(after: .zero, error: nil)
        default: .reject(reason: .rejected, error: "reject")
        }
    }

    /// Settles what this consumer has settled or lost before, or what another one holds.
    private mutating func settleEnded() async throws {
        try await look()
        guard let index = consumers.indices.randomElement(using: &generator) else { return }
        var twins = consumers[index].ended.shuffled(using: &generator).prefix(3).map { $0 }
        if let other = consumers.indices.filter({ $0 != index }).randomElement(using: &generator),
            let foreign = consumers[other].held.randomElement(using: &generator)
        {
            twins.append(foreign)
        }
        log.append("settle again by \(consumers[index].model.name): \(twins.map { Self.text($0.model) })")
        try await settle(twins, twins.map { _ in settlement() }, by: index)
    }

    private func settle(_ twins: [Twin], _ settlements: [Settlement], by index: Int) async throws {
        let pairs = zip(twins, settlements)
        let model = try await consumers[index].model.settle(pairs.map { SettleRequest($0.model.receipt, $1) })
        let real = try await consumers[index].real.settle(pairs.map { SettleRequest($0.real.receipt, $1) })
        try expectSame(model.map { "\($0)" }, real.map { "\($0)" }, "outcomes of settle")
    }

    private mutating func renew() async throws {
        try await look()
        guard let index = consumers.indices.randomElement(using: &generator) else { return }
        let consumer = consumers[index]
        log.append("renew by \(consumer.model.name)")
        let model = try await consumer.model.renew(consumer.held.map(\.model.receipt))
        let real = try await consumer.real.renew(consumer.held.map(\.real.receipt))
        try expectSame(model.map { "\($0)" }, real.map { "\($0)" }, "answers of renew")
        for (place, isHeld) in model.enumerated() where isHeld {
            consumers[index].held[place].until = clock.now + consumer.group.lease
        }
    }

    private mutating func advance() async throws {
        let step = Duration.milliseconds(
            2 * Int.random(in: 1...([2, 50, 350, 750, 2000].randomElement(using: &generator) ?? 1), using: &generator)
        )
        log.append("advance \(step)")
        clock.advance(by: step)
    }

    /// Lets the file note whose leases have run out.
    ///
    /// The model does so by itself. The file does when somebody takes; until then who was late may still settle, and a
    /// dead letter is counted but not listed.
    func look() async throws {
        let name = name
        try await reals[0].file().commits.perform { transaction in
            let queue = try transaction.queue(name)
            _ = try transaction.promote(queue)
            for group in queue.groups {
                transaction.writer.nextExpiry[group.id] = nil
                _ = try transaction.expire(group, of: queue)
            }
        }
    }

    // MARK: - Clients, groups, upkeep

    private mutating func open() async throws {
        guard consumers.count < 5, let group = definition.groups.randomElement(using: &generator) else { return }
        let mode: ConsumerOptions.Mode = Int.random(in: 0..<6, using: &generator) == 0 ? .atMostOnce : .atLeastOnce
        let client = client()
        last += 1
        let options = ConsumerOptions(mode: mode)
        log.append("open c\(last) of \(group.name), \(mode)")
        consumers.append(
            Consumer(
                group: group,
                mode: mode,
                client: client,
                model: try await models[client].consume(
                    name,
                    group: group.name,
                    consumer: "c\(last)",
                    options: options
                ),
                real: try await reals[client].consume(name, group: group.name, consumer: "c\(last)", options: options)
            )
        )
    }

    private mutating func closeConsumer() async throws {
        try await look()
        guard let index = consumers.indices.randomElement(using: &generator) else { return }
        let consumer = consumers.remove(at: index)
        log.append("close \(consumer.model.name)")
        await consumer.model.close()
        await consumer.real.close()
    }

    private mutating func reopen() async throws {
        try await look()
        let client = client()
        log.append("reopen client \(client)")
        await models[client].close()
        models[client] = models[client].makeClient()
        await reals[client].close()
        reals[client] = file.makeQueue(clock: clock.queueClock)
        consumers.removeAll { $0.client == client }
    }

    /// How long ago a group begins, in seconds; with a retention, within it: the file and the model remove what is older
    /// at different times, and refuse such a group as soon as they have.
    private func ago(_ generator: inout SeededGenerator) -> Double {
        let seconds = Double(Int.random(in: 0...6000, using: &generator)) / 1000
        return definition.retention > .zero ? min(seconds, definition.retention.inSeconds) : seconds
    }

    private mutating func addGroup() async throws {
        guard definition.groups.count < 5 else { return }
        var group = Self.group("late\(definition.groups.count)", &generator)
        group.start =
            switch Int.random(in: 0..<3, using: &generator) {
            case 0: .earliest
            case 1: .latest
            default:
                .at(clock.date.addingTimeInterval(-ago(&generator)))
            }
        log.append("declare \(group.name) from \(group.start)")
        let wanted = QueueDefinition.same(as: definition, groups: [group])
        var refusals: [QueueError.Code?] = []
        for queue in [models[0], reals[client()]] as [any MessageQueue] {
            do throws(QueueError) {
                try await queue.declare(wanted)
                refusals.append(nil)
            } catch {
                refusals.append(error.code)
            }
        }
        guard refusals[0] == refusals[1] else {
            throw Difference(description: "declare \(group.name): \(refusals) in memory and in the file")
        }
        if refusals[0] == nil { definition.groups.append(group) }
    }

    private mutating func keepUp() async throws {
        log.append("upkeep")
        let now = UnixTime.milliseconds(clock.date)
        let upkeep = Upkeep(logger: reals[0].logger)
        let memory = WriterMemory()
        try await file.makeConnection().writeWithoutTransaction {
            _ = try upkeep.run($0, memory, now: now, isBusy: false)
        }
    }

    // MARK: - Dead letters and schedules

    private mutating func changeDeadLetters() async throws {
        try await look()
        let (model, real) = try await (letters(models[0]), letters(reals[1]))
        let places = model.indices.shuffled(using: &generator).prefix(Int.random(in: 0...3, using: &generator))
        let modelIDs = places.map { model[$0].id } + ["99999999", "x"]
        let realIDs = places.map { real[$0].id } + ["99999999", "x"]
        let client = client()
        if isPlain || Bool.random(using: &generator) {
            log.append("discard \(places.map { Self.text(model[$0]) })")
            let ofModel = try await models[client].discardDeadLetters(modelIDs, of: name)
            let ofReal = try await reals[client].discardDeadLetters(realIDs, of: name)
            try expectSame(["\(ofModel.count)"], ["\(ofReal.count)"], "how many were discarded")
        } else {
            // Where a redriven message stands among those of its key that nobody has had yet is open.
            if definition.ordering == .keyed, try await hasUnread() { return }
            log.append("redrive \(places.map { Self.text(model[$0]) })")
            let ofModel = try await models[client].redrive(modelIDs, of: name)
            let ofReal = try await reals[client].redrive(realIDs, of: name)
            try expectSame(["\(ofModel.count)"], ["\(ofReal.count)"], "how many were redriven")
        }
    }

    /// All dead letters, in pages, in an order that both can have: which of several that died at once is first is open.
    func letters(_ queue: any MessageQueue) async throws -> [DeadLetter] {
        var all: [DeadLetter] = []
        var next: String?
        for _ in 0..<10_000 {
            let page = try await queue.deadLetters(of: name, matching: .all, after: next, limit: 3)
            all += page.elements
            next = page.next
            if next == nil { break }
        }
        return all.sorted { Self.text($0) < Self.text($1) }
    }

    private mutating func cancel() async throws {
        let some = ids.shuffled(using: &generator).prefix(5) + ["nothing"]
        let client = client()
        log.append("cancel \(some)")
        let model = try await models[client].cancelScheduled(Array(some), of: name)
        let real = try await reals[client].cancelScheduled(Array(some), of: name)
        try expectSame(model.map(\.rawValue), real.map(\.rawValue), "what was cancelled")
    }
}

extension QueueDefinition {
    fileprivate static func same(as other: QueueDefinition, groups: [GroupDefinition]) -> QueueDefinition {
        var definition = other
        definition.groups = groups
        return definition
    }
}

import Foundation
import Messaging
import Synchronization

/// What the clients of one example broker share: one group per queue, in this process.
///
/// It has no dead letters, so what fails is retried for ever, whatever `maxAttempts` says.
struct ExampleState {
    /// A message; while it is held it has the receipt of its delivery and the end of its lease.
    typealias Item = (message: Message, attempt: Int, history: [Failure], held: Receipt?, until: Duration)
    var definitions: [String: QueueDefinition] = [:]
    var items: [String: [Item]] = [:]
    /// Clients and consumers that are not closed, each with its client.
    var open: [UInt32: UInt32] = [:]
    /// The last receipts that were settled, to tell "settled before" from "lost".
    var settled: [Receipt] = []
    /// The receives that wait; a change wakes them by cancelling their sleep.
    var naps: Set<Task<Void, Never>> = []
    var last: UInt32 = 0

    mutating func opened(for client: UInt32? = nil) -> UInt32 {
        last += 1
        open[last] = client ?? last
        return last
    }

    /// Makes deliveries ready again that ended without a settlement; that was an attempt.
    mutating func giveBack(where isMeant: (Receipt, Duration) -> Bool) {
        for (queue, list) in items {
            for (index, item) in list.enumerated() where item.held.map({ isMeant($0, item.until) }) ?? false {
                items[queue]?[index] = (item.message, item.attempt + 1, item.history, nil, .zero)
            }
        }
    }
    func declared(_ queue: String, _ group: String? = nil) throws(QueueError) -> GroupDefinition {
        if let found = definitions[queue]?.groups[0], group ?? found.name == found.name { return found }
        throw QueueError(.notFound, "it was not declared, or not with this group", queue: queue)
    }
}

final class ExampleQueue: MessageQueue {
    let system = "example"
    let id: UInt32
    let state: ExampleShared
    init(_ state: ExampleShared) { (self.state, id) = (state, state.mutex.withLock { $0.opened() }) }
    private let support: [Capabilities.Feature: Capabilities.Support] = [.fencedSettle: .native]
    func capabilities() async throws(QueueError) -> Capabilities {
        Capabilities(system: system, version: "1", durability: .memory, maxBodyBytes: 1 << 20, support: support)
    }
    func declare(_ wanted: QueueDefinition) async throws(QueueError) {
        try state.step(id) { state throws(QueueError) in
            try wanted.validate()
            var new = wanted
            if new.groups.isEmpty { new.groups = state.definitions[new.name]?.groups ?? [] }
            let isPlain = new.ordering == .unordered && new.maxReady == nil && new.retention == .zero
            let old = state.definitions[new.name] ?? new
            guard isPlain, new.groups.count == 1, old.groups[0].name == new.groups[0].name else {
                throw QueueError(.unsupported, "a queue has one group, and no key, bound or retention", queue: new.name)
            }
            // A group keeps its place: where it started is no setting.
            new.groups[0].start = old.groups[0].start
            guard old == new else { throw QueueError(.topologyConflict, "it is \(old), not \(new)", queue: new.name) }
            state.definitions[new.name] = new
        }
    }
    func definition(of queue: String) async throws(QueueError) -> QueueDefinition? {
        try state.step(id) { $0.definitions[queue] }
    }
    func queues() async throws(QueueError) -> [String] { try state.step(id) { $0.definitions.keys.sorted() } }
    func publish(_ messages: [Message], to queue: String) async throws(QueueError) -> [PublishOutcome] {
        try state.step(id, isChange: true) { state throws(QueueError) in
            _ = try state.declared(queue)
            return messages.map { message in
                let isValid = (1...512).contains(message.id.rawValue.utf8.count)
                if !isValid || message.headers.contains(where: { $0.name.hasPrefix("mq-") }) {
                    return .refused(QueueError(.invalidArgument, "an id has 1 to 512 bytes; mq- is reserved"))
                }
                if message.due != nil { return .refused(QueueError(.unsupported, "nothing is published for later")) }
                if message.body.count > 1 << 20 { return .refused(QueueError(.tooLarge, "the limit is 1 MiB")) }
                state.items[queue, default: []].append((message, 1, [], nil, .zero))
                return .accepted
            }
        }
    }
    func consume(_ queue: String, group: String, consumer: String, options: ConsumerOptions) async throws(QueueError)
        -> any QueueConsumer
    {
        try state.step(id) { state throws(QueueError) in
            try NameRules.validate(consumer: consumer, queue: queue)
            let lease = try state.declared(queue, group).lease
            if options.mode == .atMostOnce { throw QueueError(.unsupported, "every delivery is settled", queue: queue) }
            let number = state.opened(for: id)
            return ExampleConsumer(
                queue: queue,
                group: group,
                name: consumer,
                lease: lease,
                id: number,
                state: self.state
            )
        }
    }
    func statistics(of queue: String) async throws(QueueError) -> QueueStatistics {
        try state.step(id) { state throws(QueueError) in
            let all = state.items[queue, default: []].count
            let held = state.items[queue, default: []].count { $0.held != nil }
            let name = try state.declared(queue).name
            let (none, ready, consumers) = (
                Figure.exact(0), Figure.exact(all - held), Figure.unavailable("not counted")
            )
            // swift-format-ignore
            let group = GroupStatistics(group: name, ready: ready, inFlight: .exact(held), delayed: none, dead: none,
                consumers: consumers, oldestAge: nil)
            return QueueStatistics(queue: queue, groups: [group], scheduled: none, stored: .exact(all))
        }
    }
    func close() async { state.close(id) }

    // What it does not claim it refuses, without touching anything.
    private func refuse<Result: Sendable>() throws(QueueError) -> Result {
        try state.step(id) { _ throws(QueueError) in throw QueueError(.unsupported, "this example does not have it") }
    }
    func deadLetters(of: String, matching: DeadLetterFilter, after: String?, limit: Int) async throws(QueueError)
        -> Page<DeadLetter>
    { try refuse() }
    func redrive(_ ids: [String], of: String) async throws(QueueError) -> [String] { try refuse() }
    func discardDeadLetters(_ ids: [String], of: String) async throws(QueueError) -> [String] { try refuse() }
    func scheduled(of: String, after: String?, limit: Int) async throws(QueueError) -> Page<ScheduledMessage> {
        try refuse()
    }
    func cancelScheduled(_ ids: [MessageID], of: String) async throws(QueueError) -> [MessageID] { try refuse() }
}

/// The state behind its lock.
final class ExampleShared: Sendable {
    let mutex = Mutex(ExampleState())
    func step<Result: Sendable>(
        _ id: UInt32,
        isChange: Bool = false,
        _ body: (inout ExampleState) throws(QueueError) -> Result
    ) throws(QueueError) -> Result {
        try mutex.withLock { state throws(QueueError) in
            guard state.open[id] != nil else { throw QueueError(.closed, "it was closed") }
            let now = QueueClock.system.now()
            state.giveBack { $1 <= now }
            if isChange { for nap in state.naps { nap.cancel() } }
            return try body(&state)
        }
    }
    func close(_ id: UInt32) {
        mutex.withLock { state in
            state.open = state.open.filter { $0.key != id && $0.value != id }
            let open = state.open
            state.giveBack { receipt, _ in open[receipt.source] == nil }
            for nap in state.naps { nap.cancel() }
        }
    }
}

struct ExampleConsumer: QueueConsumer {
    let queue: String
    let group: String
    let name: String
    let lease: Duration
    let id: UInt32
    let state: ExampleShared

    func receive(max: Int, wait: Duration) async throws(QueueError) -> [Delivery] {
        let end = QueueClock.system.now() + wait
        while true {
            let (taken, nap) = try state.step(id) { state throws(QueueError) in
                if Task.isCancelled { throw QueueError(.cancelled, "receive was cancelled", queue: queue) }
                let now = QueueClock.system.now()
                var taken: [Delivery] = []
                for (index, item) in state.items[queue, default: []].enumerated() where item.held == nil {
                    if taken.count == max { break }
                    state.last += 1
                    let receipt = Receipt(high: 0, low: UInt64(state.last), fence: 0, source: id)
                    state.items[queue]?[index].held = receipt
                    state.items[queue]?[index].until = now + lease
                    taken.append(
                        Delivery(
                            message: item.message,
                            queue: queue,
                            group: group,
                            attempt: item.attempt,
                            receipt: receipt,
                            history: item.history
                        )
                    )
                }
                if !taken.isEmpty || now >= end { return (taken, Task<Void, Never>?.none) }
                let next = state.items[queue, default: []].map(\.until).min() ?? end
                let nap = Task<Void, Never> { try? await QueueClock.system.sleep(until: min(next, end)) }
                state.naps.insert(nap)
                return ([], nap)
            }
            guard let nap else { return taken }
            await withTaskCancellationHandler {
                await nap.value
            } onCancel: {
                nap.cancel()
            }
            state.mutex.withLock { _ = $0.naps.remove(nap) }
        }
    }

    func settle(_ requests: [SettleRequest]) async throws(QueueError) -> [SettleOutcome] {
        try state.step(id, isChange: true) { state in
            requests.map { request in
                let receipt = request.receipt
                let index = state.items[queue, default: []].firstIndex { $0.held == receipt && receipt.source == id }
                guard let index, var item = state.items[queue]?[index] else {
                    return state.settled.contains(receipt) ? .alreadySettled : .leaseLost
                }
                item.held = nil
                switch request.settlement {
                case .acknowledge, .discard: state.items[queue]?.remove(at: index)
                case .release: state.items[queue]?[index] = item
                case .retry(after: .zero, let error):
                    let time = Int64(Date().timeIntervalSince1970 * 1000)
                    let failure = Failure(attempt: item.attempt, at: time, consumer: name, error: error ?? "")
                    item.history = (item.history + [failure]).suffix(10)
                    item.attempt += 1
                    state.items[queue]?[index] = item
                case .retry, .reject:
                    return .failed(QueueError(.unsupported, "no delay, no dead letters", queue: queue))
                }
                state.settled = state.settled.suffix(1000) + [receipt]
                return .settled
            }
        }
    }

    func renew(_ receipts: [Receipt]) async throws(QueueError) -> [Bool] {
        try state.step(id) { _ throws(QueueError) in throw QueueError(.unsupported, "leases cannot be renewed") }
    }

    func close() async { state.close(id) }
}

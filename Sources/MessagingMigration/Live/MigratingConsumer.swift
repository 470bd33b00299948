#if SQLite
import Messaging
import Synchronization

/// A consumer of a queue that moves: reads both sides, and settles each delivery on the side it came from.
final class MigratingConsumer: QueueConsumer {
    /// The highest bits of a receipt's fence tell the side; no attempt counts that far.
    private static let sideBits: UInt32 = 2
    private static let shift = 32 - sideBits
    private static let mask = UInt32.max >> sideBits

    private struct State {
        /// The sides in the order in which they were opened; receipts name them by their number.
        var members: [(label: String, consumer: any QueueConsumer)] = []
        var reads: [String] = []
        var turn = 0
        var isClosed = false
    }

    let queue: String
    let group: String
    let name: String
    private let options: ConsumerOptions
    private let home: String
    private let sides: MigrationSides
    private let clock: QueueClock
    /// How long to wait on the same sides before looking which they are.
    private let slice: Duration
    private let state = Mutex(State())
    private let adopting = AsyncTurn()

    init(
        queue: String,
        group: String,
        name: String,
        options: ConsumerOptions,
        home: String,
        sides: MigrationSides,
        slice: Duration,
        clock: QueueClock
    ) {
        self.queue = queue
        self.group = group
        self.name = name
        self.options = options
        self.home = home
        self.sides = sides
        self.slice = slice
        self.clock = clock
    }

    /// Whether it was closed; then it has nothing to follow, however long somebody keeps it.
    var isClosed: Bool { state.withLock { $0.isClosed } }
    var lease: Duration { state.withLock { $0.members.map(\.consumer.lease).min() } ?? .seconds(30) }

    // MARK: - Sides

    /// Reads the sides that a migration wants to be read; throws when one of them cannot be.
    func adopt(_ migration: Migration?) async throws {
        try await adopting.take { try await self.adoptInTurn(migration) }
    }

    private func adoptInTurn(_ migration: Migration?) async throws {
        let wanted = migration?.readSides ?? [home]
        var readable: [String] = []
        for label in wanted {
            if state.withLock({ state in state.members.contains { $0.label == label } }) {
                readable.append(label)
                continue
            }
            do {
                try await open(label)
                readable.append(label)
            } catch let error as QueueError where error.code == .notFound && label == migration?.from {
                // Where there is no queue there is nothing to read.
                continue
            }
        }
        state.withLock { $0.reads = readable }
    }

    private func open(_ label: String) async throws {
        guard state.withLock({ $0.members.count }) < 1 << Self.sideBits else {
            throw QueueError(
                .unsupported,
                "the queue has moved to too many backends under this consumer; start the process again",
                queue: queue
            )
        }
        let consumer = try await sides.queue(label).consume(queue, group: group, consumer: name, options: options)
        let isClosed = state.withLock { state in
            if !state.isClosed { state.members.append((label, consumer)) }
            return state.isClosed
        }
        if isClosed {
            await consumer.close()
            throw QueueError(.closed, "the consumer was closed", queue: queue)
        }
    }

    private func readers() throws(QueueError) -> [(number: Int, consumer: any QueueConsumer)] {
        let (isClosed, readers) = state.withLock { state in
            let found = state.reads.compactMap { label in
                state.members.firstIndex { $0.label == label }.map {
                    (number: $0, consumer: state.members[$0].consumer)
                }
            }
            // Each side is asked first in turn, so that none starves.
            state.turn += 1
            let first = found.isEmpty ? 0 : state.turn % found.count
            return (state.isClosed, Array(found[first...] + found[..<first]))
        }
        if isClosed { throw QueueError(.closed, "the consumer was closed", queue: queue) }
        return readers
    }

    // MARK: - Receiving

    func receive(max: Int, wait: Duration) async throws(QueueError) -> [Delivery] {
        let deadline = clock.now() + wait
        while true {
            let readers = try readers()
            let rest = Swift.max(.zero, deadline - clock.now())
            let found: [Delivery]
            switch readers.count {
            case 0: found = try await nothing(for: min(slice, rest))
            case 1: found = try await receive(from: readers[0], max, min(slice, rest))
            default: found = try await receive(from: readers, max, min(slice, rest))
            }
            if !found.isEmpty || clock.now() >= deadline { return found }
        }
    }

    private func nothing(for wait: Duration) async throws(QueueError) -> [Delivery] {
        do {
            try await clock.sleep(for: wait)
        } catch {
            throw QueueError(.cancelled, "waiting for deliveries was cancelled", queue: queue)
        }
        return []
    }

    private func receive(
        from reader: (number: Int, consumer: any QueueConsumer),
        _ max: Int,
        _ wait: Duration
    ) async throws(QueueError) -> [Delivery] {
        let deliveries = try await reader.consumer.receive(max: max, wait: wait)
        return deliveries.map { marked($0, reader.number) }
    }

    private func receive(
        from readers: [(number: Int, consumer: any QueueConsumer)],
        _ max: Int,
        _ wait: Duration
    ) async throws(QueueError) -> [Delivery] {
        var failure: QueueError?
        for reader in readers {
            do throws(QueueError) {
                let found = try await receive(from: reader, max, .zero)
                if !found.isEmpty { return found }
            } catch {
                if error.code == .cancelled || error.code == .closed { throw error }
                failure = error
            }
        }
        guard wait > .zero else {
            if let failure { throw failure }
            return []
        }
        // What was handed over at most once cannot be given back, so one side is waited for at a time.
        if options.mode == .atMostOnce {
            for reader in readers {
                let found = try await receive(from: reader, max, wait / readers.count)
                if !found.isEmpty { return found }
            }
            return []
        }
        return try await receiveFirst(from: readers, max, wait)
    }

    private typealias Answer = (number: Int, result: Result<[Delivery], QueueError>)

    /// Waits on all sides until one has something; what comes from another at the same time and is too much is given
    /// back.
    private func receiveFirst(
        from readers: [(number: Int, consumer: any QueueConsumer)],
        _ max: Int,
        _ wait: Duration
    ) async throws(QueueError) -> [Delivery] {
        let answers = await withTaskGroup(of: Answer.self) { group in
            for (number, consumer) in readers {
                group.addTask {
                    do throws(QueueError) {
                        return (number, .success(try await consumer.receive(max: max, wait: wait)))
                    } catch {
                        return (number, .failure(error))
                    }
                }
            }
            var answers: [Answer] = []
            for await answer in group {
                answers.append(answer)
                if case .success(let found) = answer.result, !found.isEmpty { group.cancelAll() }
            }
            return answers
        }
        var found: [Delivery] = []
        var failure: QueueError?
        for (number, result) in answers {
            switch result {
            case .success(let deliveries):
                let fitting = deliveries.prefix(max - found.count)
                found += fitting.map { marked($0, number) }
                await giveBack(deliveries.dropFirst(fitting.count), to: readers.first { $0.number == number }?.consumer)
            case .failure(let error):
                if failure == nil || error.code != .cancelled { failure = error }
            }
        }
        if found.isEmpty, let failure { throw failure }
        return found
    }

    private func giveBack(_ deliveries: ArraySlice<Delivery>, to consumer: (any QueueConsumer)?) async {
        guard !deliveries.isEmpty, let consumer else { return }
        // One that cannot be given back comes again when its lease is over.
        _ = try? await consumer.settle(deliveries.map { SettleRequest($0.receipt, .release) })
    }

    // MARK: - Settling

    private func marked(_ delivery: Delivery, _ number: Int) -> Delivery {
        Delivery(
            message: delivery.message,
            queue: delivery.queue,
            group: delivery.group,
            attempt: delivery.attempt,
            receipt: Self.marked(delivery.receipt, number),
            publishedAt: delivery.publishedAt,
            redrives: delivery.redrives,
            history: delivery.history
        )
    }

    static func marked(_ receipt: Receipt, _ number: Int) -> Receipt {
        Receipt(
            high: receipt.high,
            low: receipt.low,
            fence: receipt.fence & mask | UInt32(number) << shift,
            source: receipt.source
        )
    }

    static func original(_ receipt: Receipt) -> (receipt: Receipt, number: Int) {
        let plain = Receipt(high: receipt.high, low: receipt.low, fence: receipt.fence & mask, source: receipt.source)
        return (plain, Int(receipt.fence >> shift))
    }

    func settle(_ requests: [SettleRequest]) async throws(QueueError) -> [SettleOutcome] {
        try await onEachSide(requests.map { ($0.receipt, $0.settlement) }, otherwise: .leaseLost) {
            (consumer, part) throws(QueueError) in
            try await consumer.settle(part.map { SettleRequest($0.0, $0.1) })
        } failed: {
            .failed($0)
        }
    }

    func renew(_ receipts: [Receipt]) async throws(QueueError) -> [Bool] {
        try await onEachSide(receipts.map { ($0, ()) }, otherwise: false) { (consumer, part) throws(QueueError) in
            try await consumer.renew(part.map(\.0))
        } failed: { _ in
            false
        }
    }

    /// Does something on the side of each receipt, and returns the outcomes in the order of the receipts.
    private func onEachSide<Value, Outcome>(
        _ parts: [(Receipt, Value)],
        otherwise: Outcome,
        _ body: (any QueueConsumer, [(Receipt, Value)]) async throws(QueueError) -> [Outcome],
        failed: (QueueError) -> Outcome
    ) async throws(QueueError) -> [Outcome] {
        var outcomes = Array(repeating: otherwise, count: parts.count)
        let members = state.withLock { $0.members }
        let originals = parts.map { Self.original($0.0) }
        let numbers = Set(originals.map(\.number)).sorted()
        var failure: QueueError?
        var isAnswered = false
        for number in numbers where number < members.count {
            let indices = originals.indices.filter { originals[$0].number == number }
            do throws(QueueError) {
                let part = indices.map { (originals[$0].receipt, parts[$0].1) }
                let answers = try await body(members[number].consumer, part)
                for (index, answer) in zip(indices, answers) { outcomes[index] = answer }
                isAnswered = true
            } catch {
                failure = error
                for index in indices { outcomes[index] = failed(error) }
            }
        }
        // Nothing was done on any side: the caller hears it as from one backend.
        if let failure, !isAnswered { throw failure }
        return outcomes
    }

    func close() async {
        let members = state.withLock { state in
            state.isClosed = true
            return state.members.map(\.consumer)
        }
        for member in members { await member.close() }
    }
}
#endif

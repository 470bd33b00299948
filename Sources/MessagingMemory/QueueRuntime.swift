import Messaging
import Synchronization

/// The thin shell of one queue: runs its engine under a lock, wakes who waits, and sleeps until the next thing is due.
final class QueueRuntime: Sendable {
    private struct State: Sendable {
        var engine: QueueEngine
        var waiters = Waiters()
        /// Nobody finds it any more; who has it already is told.
        var isDeleted = false
        var timer: (until: Duration, task: Task<Void, Never>)?
    }

    /// A waiting call with its answer, to be resumed outside the lock.
    private struct Wake: Sendable {
        let waiter: Waiters.Waiter
        let answer: Waiters.Answer
    }

    let name: String
    private let clock: QueueClock
    private let state: Mutex<State>
    private let lastWaiter = Atomic<UInt64>(0)

    init(_ definition: QueueDefinition, clock: QueueClock, maxBodyBytes: Int) {
        name = definition.name
        self.clock = clock
        state = Mutex(State(engine: QueueEngine(definition, maxBodyBytes: maxBodyBytes)))
    }

    deinit { state.withLock { $0.timer?.task.cancel() } }

    /// Runs an operation on the engine at the present moment, and hands out what it made available.
    @discardableResult
    func run<Result: Sendable, Failure>(
        _ operation: (inout QueueEngine, Moment) throws(Failure) -> Result
    ) throws(Failure) -> Result {
        let (result, wakes) = try state.withLock { state throws(Failure) -> (Result, [Wake]) in
            let moment = advance(&state)
            let result = try operation(&state.engine, moment)
            return (result, serve(&state, at: moment))
        }
        resume(wakes)
        return result
    }

    /// Runs an operation unless the queue has been deleted.
    func runLive<Result: Sendable>(
        _ operation: (inout QueueEngine, Moment) throws(QueueError) -> Result
    ) throws(QueueError) -> Result {
        let (result, wakes) = try state.withLock { state throws(QueueError) -> (Result, [Wake]) in
            if state.isDeleted { throw lost }
            let moment = advance(&state)
            let result = try operation(&state.engine, moment)
            return (result, serve(&state, at: moment))
        }
        resume(wakes)
        return result
    }

    /// Ends every waiting call, and every later one.
    func delete() {
        let wakes = state.withLock { state in
            state.isDeleted = true
            state.timer?.task.cancel()
            state.timer = nil
            return state.waiters.removeAll().map { Wake(waiter: $0, answer: .failure(lost)) }
        }
        resume(wakes)
    }

    // MARK: Receiving

    func receive(
        _ group: Int,
        consumer: UInt32,
        max: Int,
        wait: Duration
    ) async throws(QueueError) -> [Delivery] {
        guard !Task.isCancelled else { throw cancelled }
        if let answer = poll(group, consumer: consumer, max: max, mayWait: wait > .zero) { return try answer.get() }
        let number = lastWaiter.wrappingAdd(1, ordering: .relaxed).newValue
        let answer = await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in
                let waiter = Waiters.Waiter(
                    continuation: continuation,
                    group: group,
                    consumer: consumer,
                    max: max,
                    until: clock.now() + wait.bounded
                )
                enqueue(number, waiter)
            }
        } onCancel: {
            // Whoever takes the waiter out answers it: an arrival or the cancellation, never both.
            let waiter = state.withLock { $0.waiters.remove(number) }
            waiter?.continuation.resume(returning: .failure(cancelled))
        }
        return try answer.get()
    }

    /// Takes a consumer out of its group; its waiting calls end.
    func leave(_ group: Int, _ consumer: UInt32) {
        let wakes = state.withLock { state in
            let moment = advance(&state)
            let gone = state.waiters.removeAll(of: consumer).map { Wake(waiter: $0, answer: .failure(closed)) }
            state.engine.leave(group, consumer, at: moment)
            return gone + serve(&state, at: moment)
        }
        resume(wakes)
    }

    private func poll(_ group: Int, consumer: UInt32, max: Int, mayWait: Bool) -> Waiters.Answer? {
        let (answer, wakes): (Waiters.Answer?, [Wake]) = state.withLock { state in
            if state.isDeleted { return (.failure(lost), []) }
            let moment = advance(&state)
            // Who waits already comes first.
            let wakes = serve(&state, at: moment)
            let answer = look(&state.engine, group, consumer: consumer, max: max, at: moment)
            return (answer, wakes + serve(&state, at: moment))
        }
        resume(wakes)
        return answer ?? (mayWait ? nil : .success([]))
    }

    private func enqueue(_ number: UInt64, _ waiter: Waiters.Waiter) {
        let wakes = state.withLock { state in
            // A cancellation before this finds no waiter to take out; a later one does.
            if Task.isCancelled { return [Wake(waiter: waiter, answer: .failure(cancelled))] }
            if state.isDeleted { return [Wake(waiter: waiter, answer: .failure(lost))] }
            let moment = advance(&state)
            var wakes = serve(&state, at: moment)
            let found = look(
                &state.engine,
                waiter.group,
                consumer: waiter.consumer,
                max: waiter.max,
                at: moment
            )
            if let found {
                wakes.append(Wake(waiter: waiter, answer: found))
            } else {
                state.waiters.add(number, waiter)
            }
            return wakes + serve(&state, at: moment)
        }
        resume(wakes)
    }

    private func look(
        _ engine: inout QueueEngine,
        _ group: Int,
        consumer: UInt32,
        max: Int,
        at moment: Moment
    ) -> Waiters.Answer? {
        guard engine.groups[group].hasMember(consumer) else { return .failure(closed) }
        let deliveries = engine.take(group, max: max, for: consumer, at: moment)
        return deliveries.isEmpty ? nil : .success(deliveries)
    }

    // MARK: Waiting

    private func advance(_ state: inout State) -> Moment {
        let moment = present()
        state.engine.advance(to: moment)
        return moment
    }

    /// Reads both clocks as one moment.
    ///
    /// Dates become deadlines by the difference of the two: a thread that stood still between the readings would make a
    /// message due too early by as much.
    private func present() -> Moment {
        var before = clock.now()
        var triesLeft = 4
        while true {
            let date = clock.date()
            let after = clock.now()
            triesLeft -= 1
            // By the later reading, so that what no try can tell makes a message late and never early.
            if after - before < .milliseconds(1) || triesLeft == 0 { return Moment(now: after, date: date) }
            before = after
        }
    }

    /// Hands what is available to who waits, and sees to it that somebody looks when the next thing is due.
    private func serve(_ state: inout State, at moment: Moment) -> [Wake] {
        guard !state.waiters.isEmpty else { return [] }
        var wakes: [Wake] = []
        for group in state.waiters.groups {
            while let (number, waiter) = state.waiters.first(of: group) {
                let deliveries = state.engine.take(group, max: waiter.max, for: waiter.consumer, at: moment)
                guard !deliveries.isEmpty else { break }
                _ = state.waiters.remove(number)
                wakes.append(Wake(waiter: waiter, answer: .success(deliveries)))
            }
        }
        for waiter in state.waiters.takeExpired(now: moment.now) {
            wakes.append(Wake(waiter: waiter, answer: .success([])))
        }
        arm(&state, at: moment)
        return wakes
    }

    /// Keeps one task asleep until the next thing is due, while anybody waits.
    private func arm(_ state: inout State, at moment: Moment) {
        guard let giveUp = state.waiters.next() else { return }
        let until = state.engine.next(after: moment).map { min($0, giveUp) } ?? giveUp
        if let timer = state.timer, timer.until <= until { return }
        state.timer?.task.cancel()
        let task = Task { [weak self, clock] in
            guard (try? await clock.sleep(until: until)) != nil else { return }
            self?.fire(until)
        }
        state.timer = (until, task)
    }

    private func fire(_ until: Duration) {
        let wakes = state.withLock { state in
            if state.timer?.until == until { state.timer = nil }
            return serve(&state, at: advance(&state))
        }
        resume(wakes)
    }

    private func resume(_ wakes: [Wake]) {
        for wake in wakes { wake.waiter.continuation.resume(returning: wake.answer) }
    }

    private var cancelled: QueueError { QueueError(.cancelled, "receiving was cancelled", queue: name) }
    private var lost: QueueError { QueueError(.topologyLost, "the queue has been deleted", queue: name) }
    private var closed: QueueError { QueueError(.closed, "the consumer was closed", queue: name) }
}

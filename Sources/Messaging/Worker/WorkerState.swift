/// The decisions of a worker without I/O: how many slots are free, what is held, which settlements wait, and when to
/// stop.
///
/// The worker keeps it behind a lock and performs what it answers.
struct WorkerState {
    private let concurrency: Int
    /// What is leased, with the time the lease was last known to start.
    private var held: [Receipt: Duration] = [:]
    private var waiting: [SettleRequest] = []
    private(set) var isFlushing = false
    private(set) var isStopping = false
    private(set) var lastPoll: Duration?
    private(set) var problem: String?
    /// When the last of the retries is due that were asked for.
    private(set) var lastRetryDue: Duration?
    private var slotWaiter: CheckedContinuation<Int, Never>?
    private var idleWaiters: [CheckedContinuation<Void, Never>] = []

    init(concurrency: Int) { self.concurrency = concurrency }

    var freeSlots: Int { isStopping ? 0 : concurrency - held.count }
    var heldCount: Int { held.count }

    // MARK: Intake

    /// Leases arrived: each takes a slot until its settlement has reached the broker.
    mutating func take(_ receipts: some Sequence<Receipt>, at now: Duration) {
        for receipt in receipts { held[receipt] = now }
    }

    mutating func polled(at now: Duration) {
        lastPoll = now
        problem = nil
    }

    mutating func failed(_ reason: String) { problem = reason }

    /// Registers the intake to be resumed when a slot is free or the worker stops; returns a number at once if so.
    mutating func waitForSlot(_ continuation: CheckedContinuation<Int, Never>) -> Int? {
        if isStopping { return 0 }
        if freeSlots > 0 { return freeSlots }
        slotWaiter = continuation
        return nil
    }

    // MARK: Settling

    /// Adds a settlement.
    ///
    /// Returns `true` when the caller must flush: one flush runs at a time, the rest join its next batch, so that a
    /// busy worker settles in large batches and an idle one at once.
    mutating func add(_ request: SettleRequest, at now: Duration) -> Bool {
        if case .retry(let delay, _) = request.settlement {
            lastRetryDue = max(lastRetryDue ?? .zero, now + min(delay, .seconds(1 << 32)))
        }
        waiting.append(request)
        if isFlushing { return false }
        isFlushing = true
        return true
    }

    /// Takes the next batch, or ends the flush.
    mutating func nextBatch(limit: Int) -> [SettleRequest] {
        if waiting.isEmpty {
            isFlushing = false
            return []
        }
        if waiting.count <= limit {
            defer { waiting.removeAll(keepingCapacity: true) }
            return waiting
        }
        let batch = Array(waiting.prefix(limit))
        waiting.removeFirst(limit)
        return batch
    }

    /// Frees the slots of deliveries that have ended.
    ///
    /// Returns what to resume.
    mutating func ended(_ receipts: some Sequence<Receipt>) -> [() -> Void] {
        for receipt in receipts { held[receipt] = nil }
        return wake()
    }

    // MARK: Renewal

    /// The leases that have not been renewed since `start`.
    func renewable(notSince start: Duration) -> [Receipt] {
        held.compactMap { $0.value <= start ? $0.key : nil }
    }

    /// Notes renewed leases, and forgets lost ones' renewal (their slot is freed when their handler ends).
    mutating func renewed(_ receipts: [Receipt], _ kept: [Bool], at now: Duration) -> [Receipt] {
        var lost: [Receipt] = []
        for (receipt, isKept) in zip(receipts, kept) where held[receipt] != nil {
            held[receipt] = isKept ? now : .seconds(1 << 40)
            if !isKept { lost.append(receipt) }
        }
        return lost
    }

    // MARK: Stopping

    mutating func stop() -> [() -> Void] {
        isStopping = true
        return wake()
    }

    /// Registers a waiter for the moment nothing is held; returns `true` when that is now.
    mutating func waitForIdle(_ continuation: CheckedContinuation<Void, Never>) -> Bool {
        if held.isEmpty { return true }
        idleWaiters.append(continuation)
        return false
    }

    private mutating func wake() -> [() -> Void] {
        var actions: [() -> Void] = []
        if let waiter = slotWaiter, isStopping || freeSlots > 0 {
            slotWaiter = nil
            let free = freeSlots
            actions.append { waiter.resume(returning: free) }
        }
        if held.isEmpty, !idleWaiters.isEmpty {
            let waiters = idleWaiters
            idleWaiters = []
            actions.append { waiters.forEach { $0.resume() } }
        }
        return actions
    }
}

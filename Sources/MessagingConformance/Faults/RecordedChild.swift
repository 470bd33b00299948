import Messaging
import Synchronization

/// A child whose events are part of the history of a case.
///
/// What it was about to do when it was killed is unknown, and noted as such.
final class RecordedChild: Sendable {
    private struct State {
        var events: [FaultChildEvent] = []
        var hasEnded = false
        var isKilled = false
        /// The places of what it is to publish or redrive, by id.
        var places: [String: Range<Int>] = [:]
        /// The deliveries that it has not said to have settled.
        var open: [(id: String, receipt: Receipt)] = []
        var number: UInt64 = 0
    }

    let job: FaultChildJob
    private let base: any FaultChild
    private let history: History
    private let member: HistoryEvent.Member
    private let start: HistoryPoint
    private let state = Mutex(State())
    private let reading = Mutex<Task<Void, Never>?>(nil)

    /// Notes what the child may do from now on, and starts it.
    ///
    /// - Parameters:
    ///   - job: What the child does.
    ///   - letters: The ids of the dead letters that it may send again.
    ///   - lease: The lease of its group.
    ///   - history: The history of the case.
    ///   - launch: Starts the child.
    /// - Throws: What `launch` throws.
    init(
        _ job: FaultChildJob,
        letters: [String],
        lease: Duration,
        history: History,
        launch: (FaultChildJob) async throws -> any FaultChild
    ) async throws {
        self.job = job
        self.history = history
        let (client, number) = (history.number(), history.number())
        member = HistoryEvent.Member(
            number,
            client: client,
            queue: job.queue,
            group: job.group,
            name: job.name,
            lease: lease
        )
        start = history.point()
        var places: [String: Range<Int>] = [:]
        switch job.work {
        case .publish:
            for (index, message) in job.messages.enumerated() {
                let published = Self.published(message, index)
                places[message.id.rawValue] = history.begin([
                    .published(published, queue: job.queue, .unknown("the child has not said so"))
                ])
            }
        case .redrive:
            for letter in letters {
                let kind = HistoryEvent.Kind.redriven(
                    letter: letter,
                    queue: job.queue,
                    .unknown("the child has not said so")
                )
                places[letter] = history.begin([kind])
            }
        case .hold, .die, .reject: break
        }
        let known = places
        state.withLock { $0.places = known }
        let call = history.enter("the start of child \(job.name)")
        defer { history.leave(call) }
        base = try await launch(job)
        let lines = base.lines
        let task = Task { [weak self] in
            for await line in lines {
                guard let self else { return }
                if let event = FaultChildEvent(text: line) { self.note(event) }
            }
            self?.noteEnd()
        }
        reading.withLock { $0 = task }
    }

    /// What it has said so far.
    var events: [FaultChildEvent] { state.withLock { $0.events } }

    /// The ids of what it has said, of one kind.
    func ids(_ what: FaultChildEvent.What) -> [String] { events.filter { $0.what == what }.map(\.id) }

    /// Whether it has ended and everything it said has been read.
    var hasEnded: Bool { state.withLock { $0.hasEnded } }

    /// Kills it, and reads what it has said to its end.
    func kill() async {
        let isFirst = state.withLock { state in
            defer { state.isKilled = true }
            return !state.isKilled
        }
        guard isFirst else { return }
        let call = history.enter("the end of child \(job.name)")
        defer { history.leave(call) }
        await base.kill()
        guard let reading = reading.withLock({ $0 }) else { return }
        // What it said and nobody read is unknown, as what it had no time to say.
        let ended = try? await race(against: Self.endLimit) { await reading.value }
        if ended == nil { noteEnd() }
    }

    /// How long the last words of a child that is dead may take.
    private static let endLimit: Duration = .seconds(20)

    // MARK: - The history

    private func note(_ event: FaultChildEvent) {
        state.withLock { state in
            state.events.append(event)
            switch event.what {
            case .published:
                guard let places = state.places.removeValue(forKey: event.id),
                    let (index, message) = job.messages.enumerated().first(where: { $1.id.rawValue == event.id })
                else { return }
                history.end(places, [.published(Self.published(message, index), queue: job.queue, .accepted)])
            case .redriven:
                guard let places = state.places.removeValue(forKey: event.id) else { return }
                history.end(places, [.redriven(letter: event.id, queue: job.queue, .done)])
            case .delivered:
                state.number += 1
                let receipt = Receipt(high: state.number, low: 0, fence: 0, source: 0)
                let text = Array(Self.body(of: event.id).utf8)
                let delivered = HistoryEvent.Delivered(
                    MessageID(event.id),
                    body: RecordingQueue.digest(text),
                    attempt: event.attempt,
                    receipt: receipt
                )
                history.record(since: start, [.delivered(delivered, to: member)])
                state.open.append((event.id, receipt))
            case .settled, .lost:
                guard let index = state.open.firstIndex(where: { $0.id == event.id }) else { return }
                let receipt = state.open.remove(at: index).receipt
                let answer: HistoryEvent.SettleAnswer = event.what == .settled ? .settled : .leaseLost
                history.record(since: history.point(), [.settled(receipt, settlement, by: member, answer)])
            case .holding, .done: break
            }
        }
    }

    private func noteEnd() {
        state.withLock { state in
            guard !state.hasEnded else { return }
            state.hasEnded = true
            switch job.work {
            case .hold, .die, .reject:
                // It may have got more than it could say, and settled more.
                let point = history.point()
                history.record(since: start, [.receiveFailed(member, isCancelled: false, "the child was killed")])
                let unsaid = job.work == .reject ? state.open : Array(state.open.prefix(unsettled(state)))
                for (_, receipt) in unsaid {
                    history.record(since: point, [.settled(receipt, settlement, by: member, .unknown("killed"))])
                }
                history.record(since: point, [.consumerClosed(member)])
            case .publish, .redrive: break
            }
        }
    }

    /// How many of the deliveries that are open it may have been acknowledging.
    private func unsettled(_ state: State) -> Int {
        job.work == .hold ? max(0, job.acknowledged - state.events.count { $0.what == .settled }) : 0
    }

    private var settlement: Settlement {
        job.work == .reject ? .reject(reason: .rejected, error: "by the child") : .acknowledge
    }

    private static func published(_ message: Message, _ index: Int) -> HistoryEvent.Published {
        HistoryEvent.Published(
            message.id,
            body: RecordingQueue.digest(message.body),
            hasDue: message.due != nil,
            index: index
        )
    }

    /// The body of every message that the fault cases publish is its id, so that a child need not print it.
    static func body(of id: String) -> String { id }
}

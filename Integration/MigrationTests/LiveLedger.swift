import Foundation
import Messaging
import Synchronization

/// What the clients of a move have published and handled, and what they saw that should not be.
final class LiveLedger: Sendable {
    private struct State {
        var confirmed: Set<String> = []
        /// How often each message was handled, by its place.
        var handled: [String: Int] = [:]
        /// How many places of confirmed messages nobody has handled yet.
        var open = 0
        /// How many producers still publish, which they do until the queue has moved.
        var producers = 0
        var hasMoved = false
        var isOver = false
        var hasFailed = false
        var problems: [String] = []
    }

    /// The most problems that are kept: what goes wrong once often goes wrong for all.
    private static let mostProblems = 10

    /// What waits, is scheduled or dead, by its place.
    private let fixed: [String: Trace]
    private let fixedIDs: Set<String>
    private let state: Mutex<State>

    /// Creates a ledger in which what was ready is confirmed, and what was handled is handled.
    init(_ filled: MigrationPlace.Filled, producers: Int) {
        let kept = filled.before.filter { [.waiting, .scheduled, .dead].contains($0.state) }
        fixed = Dictionary(kept.map { ($0.place, $0) }, uniquingKeysWith: { $1 })
        fixedIDs = Set(kept.map(\.id))
        var state = State(producers: producers)
        state.confirmed = Set(filled.before.map(\.id)).subtracting(fixedIDs)
        state.handled = Dictionary(filled.handled.map { ($0, 1) }, uniquingKeysWith: { $1 })
        state.open = state.confirmed.count * MigrationPlace.groups.count - filled.handled.count
        self.state = Mutex(state)
    }

    // MARK: - What happens

    /// Notes that messages were confirmed; some of them may be handled already.
    func confirm(_ ids: [String]) {
        state.withLock { state in
            for id in ids where state.confirmed.insert(id).inserted {
                for group in MigrationPlace.groups where state.handled[Trace.place(id, group)] == nil {
                    state.open += 1
                }
            }
        }
    }

    /// Notes that a message is handled, and what is wrong with it.
    func handle(_ delivery: Delivery) {
        let (id, group) = (delivery.message.id.rawValue, delivery.group)
        let place = Trace.place(id, group)
        let problem = problem(of: delivery, fixed[place] ?? fixed[Trace.place(id, nil)])
        state.withLock { state in
            let times = state.handled[place, default: 0]
            state.handled[place] = times + 1
            if times == 0, state.confirmed.contains(id) { state.open -= 1 }
            if let problem { Self.note(problem, &state) }
        }
    }

    private func problem(of delivery: Delivery, _ fixed: Trace?) -> String? {
        let id = delivery.message.id.rawValue
        let words = "\(id) of \(delivery.group)"
        let content = Content(delivery.message)
        if content != Content(MigrationPlace.message(id)) { return "\(words) has become \(content)" }
        guard let fixed else { return nil }
        if fixed.state == .dead { return "\(words) was dead and came" }
        if let due = fixed.due, Date() < due.addingTimeInterval(-0.01) { return "\(words) came too early" }
        let hasShrunk = delivery.attempt <= fixed.attempts || delivery.history.count < fixed.failures
        return hasShrunk ? "\(words) has lost attempts or history" : nil
    }

    /// Notes that a client has failed, so that nobody waits for what it would have done.
    func fail(_ who: String, _ error: any Error) {
        state.withLock { state in
            state.hasFailed = true
            Self.note("\(who): \(error)", &state)
        }
    }

    private static func note(_ problem: String, _ state: inout State) {
        if state.problems.count < mostProblems { state.problems.append(problem) }
    }

    func endProducer() { state.withLock { $0.producers -= 1 } }
    func setMoved() { state.withLock { $0.hasMoved = true } }
    func end() { state.withLock { $0.isOver = true } }

    // MARK: - How it stands

    var hasMoved: Bool { state.withLock { $0.hasMoved } }
    var isOver: Bool { state.withLock { $0.isOver } }
    var hasFailed: Bool { state.withLock { $0.hasFailed } }
    var problems: [String] { state.withLock { $0.problems } }
    var confirmed: Int { state.withLock { $0.confirmed.count } }
    /// Each confirmed message was handled in each group.
    var isComplete: Bool { state.withLock { $0.producers == 0 && $0.open == 0 } }
    /// How many messages a group has handled more than once.
    var repeats: Int { state.withLock { state in state.handled.values.count { $0 > 1 } } }

    /// What is confirmed and was not handled.
    var missing: [String] {
        state.withLock { state in
            MigrationPlace.groups.flatMap { group in
                state.confirmed.map { Trace.place($0, group) }.filter { state.handled[$0] == nil }
            }
        }
    }

    /// What was handled and nobody has published.
    var strangers: [String] {
        state.withLock { state in
            state.handled.keys.filter { place in
                let id = place.split(separator: " ").first.map(String.init) ?? place
                return !state.confirmed.contains(id) && !fixedIDs.contains(id)
            }
        }
    }

    // MARK: - What is due later

    /// What was due by then and was not handled.
    func overdue(at date: Date) -> [String] {
        let places = fixed.values.filter { $0.state != .dead && $0.due ?? .distantFuture <= date }.flatMap { trace in
            (trace.group.map { [$0] } ?? MigrationPlace.groups).map { Trace.place(trace.id, $0) }
        }
        return state.withLock { state in places.filter { state.handled[$0] == nil } }
    }

    /// The ids of what is due by then.
    func due(by date: Date) -> Set<String> {
        Set(fixed.values.filter { $0.due ?? .distantFuture <= date }.map(\.id))
    }

    /// What still waits, is scheduled or dead.
    var kept: Set<Trace> { Set(fixed.values) }
}

import Messaging

#if canImport(FoundationEssentials)
import FoundationEssentials
#else
import Foundation
#endif

/// A queue that moves, and the steps that the cases about it are made of.
final class TransferStage {
    let stage: Stage
    let transfer: any QueueTransfer
    let limits: TransferLimits
    private var holder: (any QueueConsumer)?
    /// The dead letter of ``fill(until:)``.
    private(set) var deadLetter: String?

    init(_ harness: any ConformanceHarness) async throws {
        stage = try await Stage(harness)
        transfer = try stage.transfer()
        limits = try await transfer.limits()
    }

    var name: String { stage.name }
    /// What can be reserved.
    var reservable: [StoredMessage.State] { [.waiting, .scheduled, .dead].filter { limits.unlisted[$0] == nil } }
    /// Long enough to look at what waits before it is due.
    var later: Duration { stage.unit * 2 + stage.harness.tolerance }

    /// Puts one message into each state; what waits is due after the time.
    func fill(until later: Duration? = nil) async throws -> [StoredMessage.State: Message] {
        let later = later ?? stage.unit * 1000
        func message(_ text: String, due: Message.Due? = nil) -> Message {
            Message(
                body: Array(text.utf8) + [0, 255],
                key: "key-\(text)",
                headers: ["colour": "blue", "state": .init(text)],
                contentType: "application/x-\(text)",
                due: due
            )
        }
        let states: [StoredMessage.State: Message] = [
            .inFlight: message("held"), .waiting: message("waiting"), .dead: message("dead"),
            .scheduled: message("scheduled", due: .after(later)), .ready: message("ready"),
        ]
        let consumer = try await stage.consumer("holder")
        holder = consumer
        for state in [StoredMessage.State.inFlight, .waiting, .dead] {
            guard let message = states[state] else { continue }
            try await stage.publish([message])
            let delivery = try await stage.takeOne(from: consumer)
            switch state {
            case .waiting: try await consumer.settle(delivery, .retry(after: later, error: "no"))
            case .dead: try await consumer.settle(delivery, .reject(reason: .rejected, error: "no"))
            default: break
            }
        }
        deadLetter = try await stage.deadLetter().id
        for state in [StoredMessage.State.scheduled, .ready] {
            if let message = states[state] { try await stage.publish([message]) }
        }
        try await stage.expectFigures(ready: 1, dead: 1)
        return states
    }

    /// The figures that the backend calls exact, without what time alone changes.
    func statistics() async throws -> [Int?] {
        let statistics = try await stage.queue.statistics(of: name)
        let group = statistics["workers"]
        return [group?.ready, group?.inFlight, group?.delayed, group?.dead, statistics.scheduled]
            .map { $0?.grade == .exact ? $0?.value : nil }
    }

    /// Checks the figures, allowing the backend the tolerance to bring them up to date.
    func expectStatistics(_ expected: [Int?], _ what: String) async throws {
        let end = stage.harness.now + stage.harness.tolerance
        while true {
            let asked = stage.harness.now
            let found = try await statistics()
            if found == expected { return }
            try expect(asked < end, "\(what) is \(found), expected \(expected)")
            try await stage.harness.advance(by: stage.step)
        }
    }

    func page(
        _ state: StoredMessage.State,
        after cursor: String?,
        limit: Int
    ) async throws -> Page<StoredMessage> {
        let needsGroup = [.ready, .inFlight, .waiting].contains(state)
        return try await transfer.stored(
            in: name,
            state: state,
            group: needsGroup ? "workers" : nil,
            after: cursor,
            limit: limit
        )
    }

    func all(_ state: StoredMessage.State) async throws -> [StoredMessage] {
        var found: [StoredMessage] = []
        var cursor: String?
        repeat {
            let page = try await page(state, after: cursor, limit: 2)
            found += page.elements
            cursor = page.next
            try expect(found.count < 1000, "the pages of what is \(state.rawValue) do not end")
        } while cursor != nil
        return found
    }

    func ids(_ states: [StoredMessage.State]) async throws -> [String] {
        var ids: [String] = []
        for state in states { ids += try await all(state).map(\.id) }
        return ids
    }

    /// Takes what comes within some time, which must be these messages and nothing else.
    @discardableResult
    func expectOnly(_ messages: [Message?], for time: Duration) async throws -> [Delivery] {
        let consumer = try await stage.consumer("taker")
        var end = stage.harness.now + time + stage.harness.tolerance
        var came: [Delivery] = []
        while stage.harness.now < end {
            for delivery in try await consumer.receive(max: 10, wait: .zero) {
                came.append(delivery)
                try await consumer.acknowledge(delivery)
            }
            end += try await stage.pass()
        }
        try expectEqual(
            came.map(\.message.id.rawValue).sorted(),
            messages.compactMap { $0?.id.rawValue }.sorted(),
            "what came"
        )
        return came
    }

    /// The time by the broker's clock, as far as a due date tells it.
    func date() async throws -> Date {
        let probe = Message(text: "clock", due: .after(stage.unit * 1000))
        try await stage.publish([probe])
        let page = try await page(.scheduled, after: nil, limit: 1000)
        guard let found = page.elements.first(where: { $0.message.id == probe.id }), let due = found.due else {
            throw ConformanceFailure("what was published for later is not listed")
        }
        let reserved = try await transfer.reserve([found.id], of: name)
        _ = try await transfer.removeReserved(reserved, of: name)
        return due.addingTimeInterval(-(stage.unit * 1000 / .seconds(1)))
    }

    /// A message as another queue had it.
    func foreign(
        _ text: String,
        _ state: StoredMessage.State,
        group: String? = "workers",
        attempts: Int = 0,
        due: Date? = nil,
        history: [Failure] = [],
        death: StoredMessage.Death? = nil
    ) -> StoredMessage {
        StoredMessage(
            id: "far-\(text)",
            state: state,
            group: group,
            message: Message(
                body: Array(text.utf8) + [0, 255],
                headers: ["colour": "blue"],
                contentType: "application/x-\(text)"
            ),
            due: due,
            attempts: attempts,
            history: history,
            death: death
        )
    }
}

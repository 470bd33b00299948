import Foundation
import Messaging
import MessagingMemory
import Synchronization
import Testing

@testable import mq

@Suite("Watching")
struct StatusWatchTests {
    private func statistics(
        ready: Int,
        arrived: Figure,
        scheduled: Int = 0,
        delayed: Int = 0
    ) -> [QueueStatistics] {
        let group = GroupStatistics(
            group: "g",
            ready: .exact(ready),
            inFlight: .exact(0),
            delayed: .exact(delayed),
            dead: .exact(0),
            consumers: .exact(1),
            oldestAge: .seconds(3)
        )
        return [
            QueueStatistics(
                queue: "q",
                groups: [group],
                scheduled: .exact(scheduled),
                stored: .exact(ready),
                arrived: arrived
            )
        ]
    }

    private func rate(_ old: [QueueStatistics], _ new: [QueueStatistics], seconds: Int = 2) -> StatusRates.Rate {
        StatusRates(from: .init(queues: old, at: .zero), to: .init(queues: new, at: .seconds(seconds)))
            .rate(of: "g", in: "q")
    }

    @Test("tells how fast messages come and go")
    func rates() {
        let moving = rate(statistics(ready: 10, arrived: .exact(100)), statistics(ready: 4, arrived: .exact(120)))
        #expect(moving == .init(published: 10, settled: 13, lag: -3))
        let growing = rate(statistics(ready: 0, arrived: .exact(0)), statistics(ready: 8, arrived: .exact(8)))
        #expect(growing == .init(published: 4, settled: 0, lag: 4))
        // A scheduled message adds to the lag without having arrived, and arrives without adding to it.
        let scheduled = rate(
            statistics(ready: 0, arrived: .exact(0)),
            statistics(ready: 0, arrived: .exact(0), scheduled: 6, delayed: 6)
        )
        #expect(scheduled == .init(published: 0, settled: 0, lag: 3))
    }

    @Test("does not make up what cannot be known")
    func unknown() {
        let uncounted = rate(
            statistics(ready: 0, arrived: .unavailable("no")),
            statistics(ready: 4, arrived: .unavailable("no"))
        )
        #expect(uncounted == .init(published: nil, settled: nil, lag: 2))
        let anew = rate(statistics(ready: 9, arrived: .exact(50)), statistics(ready: 1, arrived: .exact(1)))
        #expect(anew == .init())
        #expect(rate([], statistics(ready: 1, arrived: .exact(1))) == .init())
        let same = statistics(ready: 1, arrived: .exact(1))
        #expect(rate(same, same, seconds: 0) == .init())
    }

    @Test("fits a frame into the window and shows what is wrong above the last figures")
    func frame() {
        var view = StatusView(backend: "memory", every: .seconds(2))
        let terminal = Terminal(isTerminal: true, hasColor: false, columns: 40)
        #expect(view.lines(terminal).last == "waiting for the first answer")
        view.queues = (0..<50).flatMap { _ in statistics(ready: 1, arrived: .exact(1)) }
        view.total = 70
        view.problem = ("cannot reach redis://u:hunter2@h", .seconds(5))
        let lines = view.lines(terminal, rows: 10)
        #expect(lines.count == 10 && lines.allSatisfy { $0.count <= 40 })
        #expect(lines[1].hasPrefix("cannot reach redis://***@h"))
        #expect(lines.last == "… 46 more lines")
        #expect(view.lines(.none).last == "… and 20 more queues; name one to see it")
        let text = StatusScreen.frame(["a", "b"])
        #expect(text == "\u{1B}[Ha\u{1B}[K\r\nb\u{1B}[K\u{1B}[J")
        #expect(!text.contains("\u{1B}[2J"), "clearing the screen makes it flicker")
    }

    @Test("shows rates in few digits")
    func text() {
        #expect([0, 0.04, 0.44, 12.5, 123.4, -2.5].map(StatusView.text) == ["0", "0", "0.4", "12.5", "123", "-2.5"])
    }

    @Test("prints a document per look, and goes on when the broker does not answer")
    func watches() async throws {
        let queue = Flaky(failing: [2])
        try await queue.memory.declare(QueueDefinition("q", groups: [GroupDefinition("g")]))
        let recorder = Recorder()
        let watch = StatusWatch(
            queue: queue,
            backend: "flaky",
            name: nil,
            every: .milliseconds(1),
            count: 3,
            output: recorder.output(isJSON: true)
        ) { .init(terminal: .none) }
        try await watch.run()
        let documents = try recorder.standardOutput.split(separator: "\n").map {
            try #require(try JSONSerialization.jsonObject(with: Data($0.utf8)) as? [String: Any])
        }
        #expect(documents.count == 3)
        #expect(documents.map { $0["error"] is NSNull } == [true, false, true])
        #expect(documents.map { ($0["queues"] as? [Any])?.count } == [1, nil, 1])
        let groups = (documents[2]["queues"] as? [[String: Any]])?.first?["groups"] as? [[String: Any]]
        #expect(groups?.first?["published_per_second"] is Double)
    }

    @Test("ends with the error when the queue is not there")
    func missing() async throws {
        let recorder = Recorder()
        let watch = StatusWatch(
            queue: MemoryQueue(),
            backend: "memory",
            name: "nothing",
            every: .seconds(1),
            count: nil,
            output: recorder.output()
        ) { .init(terminal: .none) }
        await #expect(throws: QueueError.self) { try await watch.run() }
    }

    @Test("gives the terminal back however it ends", arguments: [false, true])
    func restores(isClosed: Bool) async throws {
        let recorder = Recorder(linesUntilClosed: isClosed ? 2 : .max)
        let terminal = Terminal(isTerminal: true, hasColor: false, columns: 80)
        let watch = StatusWatch(
            queue: MemoryQueue(),
            backend: "memory",
            name: nil,
            every: .milliseconds(1),
            count: 2,
            output: recorder.output()
        ) { .init(terminal: terminal, rows: 24) }
        do { try await watch.run() } catch is ClosedOutput { #expect(isClosed) }
        let written = recorder.standardOutput
        #expect(written.hasPrefix(StatusScreen.enter))
        if !isClosed { #expect(written.hasSuffix(StatusScreen.leave)) }
    }
}

/// A queue that cannot be reached at some looks.
private final class Flaky: QueueDecorator, Sendable {
    let memory = MemoryQueue()
    private let failing: Set<Int>
    private let looks = Mutex(0)

    init(failing: Set<Int>) { self.failing = failing }

    var base: any MessageQueue { memory }

    func queues() async throws(QueueError) -> [String] {
        let look = looks.withLock { looks in
            looks += 1
            return looks
        }
        if failing.contains(look) { throw QueueError(.unavailable, "the broker is away") }
        return try await memory.queues()
    }
}

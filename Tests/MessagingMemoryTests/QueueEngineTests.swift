import Messaging
import Testing

@testable import MessagingMemory

#if canImport(FoundationEssentials)
import struct FoundationEssentials.Date
#else
import struct Foundation.Date
#endif

@Suite("The engine decides by the moment it is given")
struct QueueEngineTests {
    /// An engine with one member of one group, moved by hand.
    private struct Bench {
        var engine: QueueEngine
        var moment = Moment(now: .zero, date: Date(timeIntervalSince1970: 0))

        init(_ change: (inout QueueDefinition) -> Void = { _ in }) {
            var definition = QueueDefinition("q", groups: [GroupDefinition("g", lease: .seconds(10), maxAttempts: 2)])
            change(&definition)
            engine = QueueEngine(definition, maxBodyBytes: 1000)
            engine.join(0, 1, name: "one", mode: .atLeastOnce)
        }

        mutating func go(to seconds: Double) {
            moment = Moment(now: .seconds(seconds), date: Date(timeIntervalSince1970: seconds))
            engine.advance(to: moment)
        }

        mutating func publish(_ texts: String..., due: Message.Due? = nil) -> [PublishOutcome] {
            engine.publish(texts.map { Message(text: $0, id: MessageID($0), due: due) }, at: moment)
        }

        mutating func take(_ max: Int = 100, group: Int = 0, by consumer: UInt32 = 1) -> [Delivery] {
            engine.take(group, max: max, for: consumer, at: moment)
        }

        mutating func settle(_ delivery: Delivery, _ settlement: Settlement, by consumer: UInt32 = 1) -> SettleOutcome?
        {
            engine.settle(0, [SettleRequest(delivery.receipt, settlement)], by: consumer, at: moment)?.first
        }

        var figures: GroupStatistics? { engine.statistics(now: moment.now).groups.first }
        var stored: Int? { engine.statistics(now: moment.now).stored.value }
    }

    @Test("a lease ends at the very moment, not before")
    func lease() throws {
        var bench = Bench()
        _ = bench.publish("a")
        let first = try #require(bench.take().first)
        #expect(bench.engine.next(after: bench.moment) == .seconds(10))
        bench.go(to: 9.999)
        #expect(bench.take().isEmpty)
        bench.go(to: 10)
        let second = try #require(bench.take().first)
        #expect(second.attempt == 2)
        #expect(second.history.map(\.error) == ["the lease ran out"])
        #expect(bench.settle(first, .acknowledge)?.error?.code == .leaseLost)
        bench.go(to: 25)
        // The last attempt ran out at 20, although nobody looked before 25.
        let letter = try #require(bench.engine.deadLetters(matching: .all, after: nil, limit: 1)?.elements.first)
        #expect(letter.failedAt == Date(timeIntervalSince1970: 20))
        #expect(letter.reason == .attemptsExhausted)
        #expect(bench.stored == 0)
        #expect(bench.engine.next(after: bench.moment) == nil)
    }

    @Test("a retry on the last attempt is buried at once, a release is not")
    func lastAttempt() throws {
        var bench = Bench { $0.groups[0].maxAttempts = 1 }
        _ = bench.publish("a")
        _ = bench.settle(try #require(bench.take().first), .release)
        #expect(bench.figures?.ready == .exact(1))
        _ = bench.settle(try #require(bench.take().first), .retry(after: .seconds(5), error: "e"))
        #expect(bench.figures?.dead == .exact(1))
        #expect(bench.figures?.delayed == .exact(0))
    }

    @Test("the schedule follows the clock for delays and the calendar for dates")
    func schedule() {
        var bench = Bench { $0.groups[0].lease = .seconds(100) }
        _ = bench.publish("delay", due: .after(.seconds(20)))
        _ = bench.publish("date", due: .at(Date(timeIntervalSince1970: 10)))
        _ = bench.publish("past", due: .at(Date(timeIntervalSince1970: -1)))
        _ = bench.publish("negative", due: .after(.seconds(-1)))
        _ = bench.publish("never", due: .after(.seconds(Int64.max)))
        #expect(bench.take().map(\.message.text) == ["past", "negative"])
        #expect(bench.engine.next(after: bench.moment) == .seconds(10))
        // The calendar is set forward, the clock stays.
        bench.moment.date = Date(timeIntervalSince1970: 11)
        bench.engine.advance(to: bench.moment)
        let date = bench.take()
        #expect(date.map(\.message.text) == ["date"])
        #expect(date.first?.message.due == .at(Date(timeIntervalSince1970: 10)))
        #expect(date.first?.publishedAt == Date(timeIntervalSince1970: 0))
        bench.go(to: 20)
        #expect(bench.take().map(\.message.due) == [.at(Date(timeIntervalSince1970: 20))])
    }

    @Test("a cancelled id may be published again")
    func cancel() {
        var bench = Bench()
        _ = bench.publish("a", due: .after(.seconds(1)))
        #expect(bench.engine.cancelScheduled(["a", "a", "b"]) == ["a"])
        #expect(bench.publish("a").first?.error == nil)
        #expect(bench.take().count == 1)
    }

    @Test("what no group wants any more is kept for the retention and not longer")
    func retention() throws {
        var bench = Bench { $0.retention = .seconds(100) }
        _ = bench.publish("a", "b")
        let taken = bench.take()
        _ = bench.settle(taken[1], .acknowledge)
        bench.go(to: 5)
        _ = bench.settle(taken[0], .acknowledge)
        bench.go(to: 99.9)
        #expect(bench.stored == 2)
        bench.go(to: 100)
        #expect(bench.stored == 1)
        // A replay opens it again, for as long as it takes.
        try bench.engine.declare(
            QueueDefinition("q", groups: [GroupDefinition("late")], retention: .seconds(100)),
            at: bench.moment
        )
        bench.engine.join(1, 2, name: "two", mode: .atLeastOnce)
        bench.go(to: 500)
        #expect(bench.stored == 1)
        #expect(bench.take(group: 1, by: 2).map(\.message.text) == ["a"])
    }

    @Test("a queue without groups keeps everything for its first one")
    func noGroups() throws {
        for (start, expected) in [(GroupDefinition.Start.earliest, 2), (.latest, 0)] {
            var bench = Bench()
            bench.engine = QueueEngine(QueueDefinition("q", maxReady: 2), maxBodyBytes: 10)
            _ = bench.publish("a", "b")
            #expect(bench.publish("c").first?.error?.code == .queueFull)
            let group = GroupDefinition("g", start: start)
            try bench.engine.declare(QueueDefinition("q", groups: [group], maxReady: 2), at: bench.moment)
            #expect(bench.figures?.ready == .exact(expected))
            #expect(bench.stored == expected)
        }
    }

    @Test("the bound counts what is ready for the slowest group, and a refusal is forgotten")
    func bound() throws {
        var bench = Bench {
            $0.maxReady = 2
            $0.groups.append(GroupDefinition("slow"))
        }
        _ = bench.publish("a", "b")
        _ = bench.take()
        #expect(bench.publish("c").first?.error?.code == .queueFull)
        bench.engine.join(1, 2, name: "two", mode: .atLeastOnce)
        _ = bench.take(1, group: 1, by: 2)
        #expect(bench.publish("c", "d").map { $0.error?.code } == [nil, .queueFull])
        #expect(bench.engine.rememberedIDs == 3)
    }

    @Test("a duplicate of a full queue is a duplicate, and so is one within a batch")
    func duplicates() {
        var bench = Bench { $0.maxReady = 1 }
        let outcomes = bench.publish("a", "a")
        #expect(outcomes.map(\.isConfirmed) == [true, true])
        guard case .duplicate = outcomes[1] else {
            Issue.record("\(outcomes[1])")
            return
        }
        bench.go(to: 3599)
        #expect(bench.publish("a").first?.isConfirmed == true)
        bench.go(to: 3600)
        #expect(bench.publish("a").first?.error?.code == .queueFull)
    }

    @Test("the oldest age is that of what is ready or in flight")
    func oldestAge() {
        var bench = Bench()
        #expect(bench.figures?.oldestAge == nil)
        _ = bench.publish("a")
        bench.go(to: 1)
        _ = bench.publish("b")
        bench.go(to: 3)
        let taken = bench.take()
        #expect(bench.figures?.oldestAge == .seconds(3))
        _ = bench.settle(taken[0], .acknowledge)
        #expect(bench.figures?.oldestAge == .seconds(2))
        _ = bench.settle(taken[1], .retry(after: .seconds(10), error: nil))
        #expect(bench.figures?.oldestAge == nil)
    }

    @Test("a renewal starts the lease anew, and old deadlines do not pile up")
    func renewal() throws {
        var bench = Bench()
        _ = bench.publish("a")
        let delivery = try #require(bench.take().first)
        for second in 1...2000 {
            bench.go(to: Double(second))
            #expect(bench.engine.renew(0, [delivery.receipt], by: 1, now: bench.moment.now) == [true])
        }
        #expect(bench.engine.next(after: bench.moment) == .seconds(2010))
        #expect(bench.engine.renew(0, [delivery.receipt], by: 9, now: bench.moment.now) == nil)
    }

    @Test("an outcome tells its own receipts from those of others")
    func fence() throws {
        var bench = Bench()
        bench.engine.join(0, 2, name: "two", mode: .atLeastOnce)
        _ = bench.publish("a")
        let delivery = try #require(bench.take().first)
        #expect(bench.settle(delivery, .acknowledge, by: 2)?.error?.code == .leaseLost)
        #expect(bench.settle(delivery, .acknowledge)?.error == nil)
        #expect(bench.settle(delivery, .acknowledge)?.error?.code == .alreadySettled)
        #expect(bench.settle(delivery, .acknowledge, by: 7) == nil)
    }

    @Test("the page of a listing goes on where the last one ended")
    func pages() {
        var bench = Bench()
        _ = bench.publish("b", "c", due: .after(.seconds(2)))
        _ = bench.publish("a", due: .after(.seconds(1)))
        let first = bench.engine.scheduled(after: nil, limit: 2)
        #expect(first?.elements.map(\.message.text) == ["a", "b"])
        let second = bench.engine.scheduled(after: first?.next, limit: 2)
        #expect(second?.elements.map(\.message.text) == ["c"])
        #expect(second?.next == nil)
        #expect(bench.engine.scheduled(after: "nonsense", limit: 1) == nil)
        #expect(bench.engine.deadLetters(matching: .all, after: "nonsense", limit: 1) == nil)
    }
}

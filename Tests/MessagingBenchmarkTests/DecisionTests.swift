import Messaging
import Testing

@testable import MessagingBenchmark

@Suite("The decisions of a benchmark")
struct DecisionTests {
    @Test("a spread has the median of an odd and of an even number, the least and the most")
    func spread() throws {
        let odd = try #require(Spread([3, 1, 2]))
        #expect((odd.median, odd.min, odd.max, odd.count) == (2, 1, 3, 3))
        #expect(Spread([4, 1, 2, 3])?.median == 2.5)
        #expect(Spread([7])?.median == 7)
        #expect(Spread([]) == nil)
        #expect(Spread([1, .nan]) == nil)
        #expect(Spread([1, .infinity]) == nil)
    }

    @Test("a ratio is taken pair by pair, and none of a pair whose second is zero")
    func ratios() {
        #expect(Spread.ratios([(9, 10), (5, 4), (1, 0)]) == [0.9, 1.25])
        #expect(Spread.ratios([]).isEmpty)
    }

    @Test("a schedule of a fixed rate does not drift, however long it is")
    func schedule() {
        let schedule = SendSchedule(rate: 3)
        #expect(schedule.offset(of: 0) == .zero)
        #expect(schedule.offset(of: 1) == .nanoseconds(333_333_333))
        #expect(schedule.offset(of: 3) == .seconds(1))
        #expect(schedule.offset(of: 3_000_000_001) == .seconds(1_000_000_000) + .nanoseconds(333_333_333))
        for rate in [1, 7, 100, 99_999] {
            let schedule = SendSchedule(rate: rate)
            let gaps = (0..<2 * rate).map { schedule.offset(of: $0 + 1) - schedule.offset(of: $0) }
            #expect(gaps.allSatisfy { $0 > .zero && abs($0 / .seconds(1) - 1 / Double(rate)) < 2e-9 })
        }
    }

    @Test("percentiles are those of the recorded values, to three digits")
    func percentiles() throws {
        var recorder = LatencyRecorder()
        #expect(recorder.summary == nil)
        for value in 1...1000 { recorder.record(.microseconds(value)) }
        let summary = try #require(recorder.summary)
        #expect(summary.count == 1000)
        for (value, expected) in [
            (summary.p50, 500.0), (summary.p90, 900), (summary.p99, 990), (summary.p999, 999), (summary.max, 1000),
        ] {
            #expect(abs(value / expected - 1) < 0.002, "\(value) instead of \(expected)")
        }
    }

    @Test("what is out of range is recorded at its end")
    func outOfRange() throws {
        var recorder = LatencyRecorder()
        recorder.record(.seconds(-1))
        recorder.record(.seconds(1_000_000))
        let summary = try #require(recorder.summary)
        #expect(summary.count == 2)
        #expect(summary.p50 < 1)
        #expect(abs(summary.max / 3.6e9 - 1) < 0.002)
    }

    @Test("the body of a paced message carries its number, and one that warms up carries none")
    func bodies() {
        for number in [0, 1, 255, 256, 1_000_000, Int.max] {
            #expect(PacedLoad.number(PacedLoad.body(number, size: 512)) == number)
        }
        #expect(PacedLoad.body(7, size: 512).count == 512)
        #expect(PacedLoad.body(7, size: 1).count == 8)
        #expect(PacedLoad.number(PacedLoad.body(nil, size: 64)) == nil)
        #expect(PacedLoad.number([1, 2, 3]) == nil)
    }

    @Test("a series has its steps up to the largest value, and that value")
    func series() {
        #expect(SeriesKind.backlog.values(upTo: 10_000_000) == [1000, 10_000, 100_000, 1_000_000, 10_000_000])
        #expect(SeriesKind.backlog.values().last == 1_000_000)
        #expect(SeriesKind.backlog.values(upTo: 50) == [50])
        #expect(SeriesKind.consumers.values() == [1, 2, 4, 8, 16])
        #expect(SeriesKind.consumers.values(upTo: 3) == [1, 2, 3])
        #expect(SeriesKind.payload.values().first == 16)
        #expect(SeriesKind.payload.values().last == 1 << 20)
        #expect(SeriesKind.queues.values(upTo: 1000) == [1, 10, 100, 1000])
        for kind in SeriesKind.allCases {
            let values = kind.values(upTo: Int.max)
            #expect(values.last == kind.limit)
            #expect(values == values.sorted() && Set(values).count == values.count)
        }
    }

    @Test(
        "settings out of their range are refused by name",
        arguments: [
            ("messages", BenchmarkSettings(messages: 0)), ("size", BenchmarkSettings(size: 0)),
            ("batch", BenchmarkSettings(batch: 1001)), ("consumers", BenchmarkSettings(consumers: 0)),
            ("keys", BenchmarkSettings(keys: -1)), ("rate", BenchmarkSettings(rate: 0)),
            ("pairs", BenchmarkSettings(pairs: 0)), ("window", BenchmarkSettings(window: .zero)),
            ("window", BenchmarkSettings(rate: 100_000, window: .seconds(11))),
            ("patience", BenchmarkSettings(patience: .seconds(7200))),
        ]
    )
    func refusal(name: String, settings: BenchmarkSettings) throws {
        let error = try #require(throws: QueueError.self) { try settings.validate() }
        #expect(error.code == .invalidArgument)
        #expect(error.message.contains(name))
    }

    @Test("messages are shared out among the pairs, at least one each")
    func parts() {
        #expect(BenchmarkSettings(messages: 1000, pairs: 5).part == 200)
        #expect(BenchmarkSettings(messages: 3, pairs: 5).part == 1)
        #expect(BenchmarkSettings(rate: 100, window: .milliseconds(250)).paced == 25)
        #expect(BenchmarkSettings(rate: 1, window: .milliseconds(10)).paced == 1)
        #expect(BenchmarkSettings(keys: 3).key(7) == "key-1")
        #expect(BenchmarkSettings().key(7) == nil)
        #expect(BenchmarkSettings(deduplicates: false).definition("q").dedupeWindow == .zero)
        #expect(BenchmarkSettings(keys: 3).definition("q", groups: 2).groups.count == 2)
        #expect(BenchmarkSettings(keys: 3).definition("q").ordering == .keyed)
    }

    @Test("the resident size is the second number of what Linux tells")
    func resident() {
        #expect(ProcessUsage.resident(statm: "900 25 7 1 0 3 0\n", page: 4096) == 25 * 4096)
        #expect(ProcessUsage.resident(statm: "900", page: 4096) == nil)
        #expect(ProcessUsage.resident(statm: "a b c", page: 4096) == nil)
    }
}

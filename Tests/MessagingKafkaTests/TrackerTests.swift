import Messaging
import Testing

@testable import MessagingKafka

@Suite("Which messages of a partition are finished")
struct TrackerTests {
    @Test("runs hold exactly what was inserted, whatever the order")
    func runs() {
        for seed in 1...20 as ClosedRange<UInt64> {
            var generator = SeededGenerator(seed: seed)
            var runs = OffsetRuns()
            var model = Set<Int64>()
            for _ in 0..<300 {
                if Int.random(in: 0..<10, using: &generator) == 0 {
                    let floor = Int64.random(in: 0..<200, using: &generator)
                    runs.removeBelow(floor)
                    model = model.filter { $0 >= floor }
                } else {
                    let start = Int64.random(in: 0..<200, using: &generator)
                    let end = start + Int64.random(in: 1..<6, using: &generator)
                    runs.insert(start..<end)
                    model.formUnion(start..<end)
                }
                #expect(runs.count == model.count)
                #expect((0..<210).allSatisfy { runs.contains($0) == model.contains($0) })
                // Apart from each other, so that there is one way to write a set.
                #expect(zip(runs.runs, runs.runs.dropFirst()).allSatisfy { $0.upperBound < $1.lowerBound })
                let from = Int64.random(in: 0..<200, using: &generator)
                #expect(runs.firstGap(from: from) == (from...).first { !model.contains($0) })
                #expect(runs.count(in: 50..<100) == model.count { (50..<100).contains($0) })
            }
        }
    }

    @Test("finishing in any order and crashing at any time loses nothing and repeats only what was not committed")
    func anyOrder() {
        for seed in 1...50 as ClosedRange<UInt64> {
            var generator = SeededGenerator(seed: seed)
            let last: Int64 = 200
            var committed: Int64 = 0
            var note = ""
            var ended = Set<Int64>()
            var endedAtCommit = Set<Int64>()
            for _ in 0..<12 {
                var tracker = PartitionTracker(committed: committed, note: CommitNote(note, base: committed))
                var open: [Int64] = []
                // What ended and was not committed is as if it had never been.
                ended = endedAtCommit
                for offset in committed..<last where tracker.admit(offset) {
                    #expect(!endedAtCommit.contains(offset), "what was committed as finished came again")
                    open.append(offset)
                }
                #expect(endedAtCommit.union(open) == Set(0..<last), "a message that was not finished did not come")
                open.shuffle(using: &generator)
                for offset in open.prefix(Int.random(in: 0...40, using: &generator)) {
                    tracker.finish(offset)
                    ended.insert(offset)
                    guard Int.random(in: 0..<3, using: &generator) == 0, let base = tracker.base else { continue }
                    #expect((0..<base).allSatisfy { ended.contains($0) }, "the offset passed an unfinished message")
                    var text = CommitNote()
                    text.finished = tracker.finished
                    (committed, note) = (base, text.text(base: base))
                    endedAtCommit = ended
                }
            }
        }
    }

    @Test("what a partition does not have holds up nothing")
    func gaps() {
        var tracker = PartitionTracker(committed: 5)
        let isNew = [10, 12].map { tracker.admit($0) }
        #expect(isNew == [true, true])
        #expect(tracker.base == 10)
        tracker.finish(10)
        #expect(tracker.base == 12)
        let again = tracker.admit(12)
        #expect(!again, "an offset that was seen before is not new")
        tracker.finish(12)
        #expect(tracker.base == 13)
        tracker.finish(3)
        #expect(tracker.base == 13)
    }

    @Test("after a crash the attempts of what was in flight are counted, and those messages are suspects")
    func crash() {
        var note = CommitNote()
        note.isOpen = true
        note.high = 12
        note.finished.insert(11)
        note.attempts = [12: 2]
        let read = CommitNote(note.text(base: 10), base: 10)
        #expect(read == note)
        let tracker = PartitionTracker(committed: 10, note: read)
        #expect(tracker.attempts == [10: 1, 12: 3])
        #expect(tracker.isSuspect(12) && tracker.isSuspect(10 + PartitionTracker.caution - 1))
        #expect(!tracker.isSuspect(10 + PartitionTracker.caution))
        note.suspect = 12
        let alone = PartitionTracker(committed: 10, note: CommitNote(note.text(base: 10), base: 10))
        #expect(alone.attempts == [12: 3], "with a suspect in flight, nobody else pays")
        note.isOpen = false
        #expect(PartitionTracker(committed: 10, note: note).attempts == [12: 2])
    }

    @Test("a note never exceeds its limit, and what it leaves out comes again rather than be lost")
    func limit() {
        var note = CommitNote()
        for offset in stride(from: Int64(1), to: 20_000, by: 2) { note.finished.insert(offset) }
        for offset in stride(from: Int64(0), to: 20_000, by: 2) { note.attempts[offset] = 3 }
        let text = note.text(base: 0)
        #expect(text.utf8.count <= CommitNote.limit)
        let read = CommitNote(text, base: 0)
        #expect(read.finished.count > 500)
        #expect(read.finished.runs.allSatisfy { note.finished.contains($0.lowerBound) && $0.count == 1 })
        var tracker = PartitionTracker(committed: 0)
        var offset: Int64 = 0
        while !tracker.isNearlyFull, offset < 100_000 {
            _ = tracker.admit(offset)
            _ = tracker.admit(offset + 1)
            tracker.finish(offset + 1)
            offset += 2
        }
        #expect(offset < 100_000, "it never says that it is full")
        var kept = CommitNote()
        kept.finished = tracker.finished
        #expect(
            CommitNote(kept.text(base: 0), base: 0).finished == tracker.finished,
            "full before anything is left out"
        )
    }

    @Test(arguments: [
        "", "nonsense", "mq1;f=???", "mq1;f=gICAgICAgICAgICAgIA=;h=x", "mq2;o=1", "mq1;a=AQ==;;;=", "mq1;h=-9;i=-3;s=1",
        "mq1;f=////////////////",
    ])
    func foreignNote(_ text: String) {
        let note = CommitNote(text, base: 100)
        #expect(note.finished.isEmpty && note.attempts.isEmpty && note.suspect == nil && note.inFlight == 0)
        #expect(CommitNote(nil, base: 0) == CommitNote())
    }
}

import Messaging
import MessagingConformance
import Testing

/// Writes a history by hand: each call begins and ends before the next one, unless it says otherwise.
private struct Script {
    static let lease = Duration.seconds(10)

    private(set) var events: [HistoryEvent] = []
    private var order = 0
    private var receipts: UInt64 = 0
    private var time = Duration.zero

    init(ordering: QueueDefinition.Ordering = .unordered, groups: [String] = ["g"]) {
        declare(groups, ordering: ordering)
    }

    static func member(_ number: Int, group: String = "g", atMostOnce: Bool = false) -> HistoryEvent.Member {
        HistoryEvent.Member(
            number,
            client: 100 + number,
            queue: "q",
            group: group,
            name: "c\(number)",
            lease: lease,
            isAtMostOnce: atMostOnce
        )
    }

    mutating func point() -> HistoryPoint {
        order += 1
        return HistoryPoint(order, time)
    }

    mutating func add(_ kind: HistoryEvent.Kind, since begin: HistoryPoint? = nil) {
        let begin = begin ?? point()
        events.append(HistoryEvent(begin, point(), kind))
    }

    mutating func wait(_ seconds: Int) { time += .seconds(seconds) }

    mutating func declare(
        _ groups: [String],
        ordering: QueueDefinition.Ordering = .unordered,
        start: GroupDefinition.Start = .earliest
    ) {
        let definitions = groups.map { GroupDefinition($0, start: start, lease: Self.lease, maxAttempts: 3) }
        add(.declared(QueueDefinition("q", groups: definitions, ordering: ordering), .done))
    }

    mutating func publish(
        _ id: MessageID,
        _ outcome: HistoryEvent.Publication = .accepted,
        body: Int = 1,
        key: String? = nil,
        due: Bool = false
    ) {
        add(.published(.init(id, body: body, key: key, hasDue: due), queue: "q", outcome))
    }

    @discardableResult
    mutating func deliver(
        _ id: MessageID,
        to member: HistoryEvent.Member = Script.member(1),
        attempt: Int = 1,
        redrives: Int = 0,
        body: Int = 1,
        since begin: HistoryPoint? = nil
    ) -> Receipt {
        receipts += 1
        let receipt = Receipt(high: receipts, low: 0, fence: 0, source: 0)
        let delivered = HistoryEvent.Delivered(id, body: body, attempt: attempt, redrives: redrives, receipt: receipt)
        add(.delivered(delivered, to: member), since: begin)
        return receipt
    }

    mutating func settle(
        _ receipt: Receipt,
        _ settlement: Settlement = .acknowledge,
        by member: HistoryEvent.Member = Script.member(1),
        _ answer: HistoryEvent.SettleAnswer = .settled
    ) {
        add(.settled(receipt, settlement, by: member, answer))
    }
}

private struct Example: Sendable, CustomTestStringConvertible {
    let law: HistoryLaw
    let name: String
    let isBroken: Bool
    let write: @Sendable () -> Script

    static func keeps(_ law: HistoryLaw, _ name: String, _ write: @escaping @Sendable () -> Script) -> Example {
        Example(law: law, name: name, isBroken: false, write: write)
    }

    static func breaks(_ law: HistoryLaw, _ name: String, _ write: @escaping @Sendable () -> Script) -> Example {
        Example(law: law, name: name, isBroken: true, write: write)
    }

    var testDescription: String { "\(law) \(isBroken ? "is broken" : "is kept"): \(name)" }
}

private let one = Script.member(1)
private let two = Script.member(2)
private let retry = Settlement.retry(after: .zero, error: nil)
private let reject = Settlement.reject(reason: .rejected, error: nil)

private let coming: [Example] = [
    .breaks(.phantom, "an id that nobody published") {
        var script = Script()
        script.deliver("a")
        return script
    },
    .breaks(.phantom, "a refused message") {
        var script = Script()
        script.publish("a", .refused("queue-full"))
        script.deliver("a")
        return script
    },
    .keeps(.phantom, "an unknown publish may come, and a refused one that was published after all") {
        var script = Script()
        script.publish("a", .unknown("indeterminate"))
        script.deliver("a")
        script.publish("b", .refused("queue-full"))
        script.publish("b")
        script.deliver("b")
        return script
    },
    .keeps(.phantom, "a foreign producer publishes what it likes") {
        var script = Script()
        script.add(.foreign(queue: "q"))
        script.deliver("a")
        return script
    },
    .breaks(.body, "another body") {
        var script = Script()
        script.publish("a", body: 1)
        script.deliver("a", body: 2)
        return script
    },
    .breaks(.body, "the body of a refused conflict") {
        var script = Script()
        script.publish("a", body: 1)
        script.publish("a", .refused("id-conflict"), body: 2)
        script.deliver("a", body: 2)
        return script
    },
    .keeps(.body, "one of two that were accepted") {
        var script = Script()
        script.publish("a", body: 1)
        script.publish("a", body: 2)
        script.deliver("a", body: 2)
        return script
    },
    .breaks(.duplicate, "of nothing") {
        var script = Script()
        script.publish("a", .duplicate)
        return script
    },
    .keeps(.duplicate, "of what may have been published") {
        var script = Script()
        script.publish("a", .unknown("indeterminate"))
        script.publish("a", .duplicate)
        return script
    },
]

private let ending: [Example] = [
    .breaks(.ended, "an acknowledged message comes again") {
        var script = Script()
        script.publish("a")
        script.settle(script.deliver("a"))
        script.wait(20)
        script.deliver("a", to: two, attempt: 2)
        return script
    },
    .breaks(.ended, "a rejected message comes without a redrive") {
        var script = Script()
        script.publish("a")
        script.settle(script.deliver("a"), reject)
        script.deliver("a", attempt: 2)
        return script
    },
    .breaks(.ended, "a retry beyond the last attempt comes") {
        var script = Script()
        script.publish("a")
        for attempt in 1...3 { script.settle(script.deliver("a", attempt: attempt), retry) }
        script.deliver("a", attempt: 3)
        return script
    },
    .breaks(.ended, "a cancelled message comes") {
        var script = Script()
        script.publish("a", due: true)
        script.add(.cancelled("a", queue: "q", .done))
        script.deliver("a")
        return script
    },
    .breaks(.ended, "what was taken at most once comes again") {
        var script = Script()
        script.publish("a")
        script.deliver("a", to: Script.member(3, atMostOnce: true))
        script.deliver("a")
        return script
    },
    .keeps(.ended, "after a redrive, a new publication, in another group, or when the answer was lost") {
        var script = Script(groups: ["g", "h"])
        script.publish("a")
        script.settle(script.deliver("a"), reject)
        script.add(.listed(.init("1", of: "a", group: "g"), queue: "q"))
        script.add(.redriven(letter: "1", queue: "q", .done))
        script.settle(script.deliver("a", redrives: 1))
        script.deliver("a", to: Script.member(4, group: "h"))
        script.publish("b")
        script.settle(script.deliver("b"))
        script.publish("b")
        script.settle(script.deliver("b"))
        script.publish("c")
        script.settle(script.deliver("c"), .acknowledge, .unknown("indeterminate"))
        script.deliver("c", to: two, attempt: 2)
        return script
    },
    .keeps(.ended, "a receive that began before the acknowledgement may end after it") {
        var script = Script()
        script.publish("a")
        let early = script.point()
        script.settle(script.deliver("a", to: two), by: two)
        script.deliver("a", attempt: 1, since: early)
        return script
    },
    .breaks(.exclusive, "an acknowledged message is a dead letter") {
        var script = Script()
        script.publish("a")
        script.settle(script.deliver("a"))
        script.add(.listed(.init("1", of: "a", group: "g"), queue: "q"))
        return script
    },
    .breaks(.exclusive, "one message is two dead letters") {
        var script = Script()
        script.publish("a")
        script.settle(script.deliver("a"), reject)
        for letter in ["1", "2"] { script.add(.listed(.init(letter, of: "a", group: "g"), queue: "q")) }
        return script
    },
    .keeps(.exclusive, "acknowledged after a redrive") {
        var script = Script()
        script.publish("a")
        script.settle(script.deliver("a"), reject)
        script.add(.listed(.init("1", of: "a", group: "g"), queue: "q"))
        script.add(.redriven(letter: "1", queue: "q", .done))
        script.settle(script.deliver("a", redrives: 1))
        return script
    },
]

private let holding: [Example] = [
    .breaks(.attempts, "the first one is not 1") {
        var script = Script()
        script.publish("a")
        script.deliver("a", attempt: 2)
        return script
    },
    .breaks(.attempts, "a retry does not count") {
        var script = Script()
        script.publish("a")
        script.settle(script.deliver("a"), retry)
        script.deliver("a", attempt: 1)
        return script
    },
    .breaks(.attempts, "a release counts") {
        var script = Script()
        script.publish("a")
        script.settle(script.deliver("a"), .release)
        script.deliver("a", attempt: 2)
        return script
    },
    .breaks(.attempts, "an expiry begins anew") {
        var script = Script()
        script.publish("a")
        script.deliver("a")
        script.wait(11)
        script.deliver("a", to: two, attempt: 1)
        return script
    },
    .breaks(.attempts, "there are more than were declared") {
        var script = Script()
        script.publish("a")
        for attempt in 1...4 {
            script.deliver("a", attempt: attempt)
            script.wait(11)
        }
        return script
    },
    .keeps(.attempts, "retry, release, expiry, and a crash that counts twice") {
        var script = Script()
        script.publish("a")
        script.settle(script.deliver("a"), retry)
        script.settle(script.deliver("a", attempt: 2), .release)
        script.deliver("a", attempt: 2)
        script.wait(11)
        script.deliver("a", attempt: 3)
        script.publish("b")
        script.deliver("b")
        script.add(.receiveFailed(one, isCancelled: false, "unavailable"))
        script.wait(30)
        script.deliver("b", to: two, attempt: 3)
        return script
    },
    .breaks(.holder, "two consumers within a lease") {
        var script = Script()
        script.publish("a")
        script.deliver("a")
        script.wait(9)
        script.deliver("a", to: two, attempt: 2)
        return script
    },
    .breaks(.holder, "a renewed lease is taken over") {
        var script = Script()
        script.publish("a")
        let receipt = script.deliver("a")
        script.wait(9)
        script.add(.renewed(receipt, by: one, true))
        script.wait(9)
        script.deliver("a", to: two, attempt: 2)
        return script
    },
    .keeps(.holder, "after the lease, after a close, after a release, in another group, for two publications") {
        var script = Script(groups: ["g", "h"])
        script.publish("a")
        script.deliver("a")
        script.wait(10)
        script.deliver("a", to: two, attempt: 2)
        script.publish("b")
        script.deliver("b")
        script.add(.consumerClosed(one))
        script.deliver("b", to: two, attempt: 2)
        script.deliver("b", to: Script.member(4, group: "h"))
        script.add(.clientClosed(two.client))
        script.settle(script.deliver("b", to: Script.member(5), attempt: 3), .release, by: Script.member(5))
        script.deliver("b", to: Script.member(6), attempt: 3)
        script.publish("c")
        script.publish("c")
        script.deliver("c", to: Script.member(5))
        script.deliver("c", to: Script.member(6))
        return script
    },
    .breaks(.fence, "one delivery is settled twice") {
        var script = Script()
        script.publish("a")
        let receipt = script.deliver("a")
        script.settle(receipt, .release)
        script.settle(receipt)
        return script
    },
    .breaks(.fence, "a lost lease settles") {
        var script = Script()
        script.publish("a")
        let receipt = script.deliver("a")
        script.wait(11)
        script.deliver("a", to: two, attempt: 2)
        script.settle(receipt)
        return script
    },
    .breaks(.fence, "another one's receipt settles") {
        var script = Script()
        script.publish("a")
        let receipt = script.deliver("a")
        script.settle(receipt, by: two)
        return script
    },
    .keeps(.fence, "the lost one is refused, the holder settles once") {
        var script = Script()
        script.publish("a")
        let receipt = script.deliver("a")
        script.wait(11)
        let second = script.deliver("a", to: two, attempt: 2)
        script.settle(receipt, .acknowledge, .leaseLost)
        script.settle(second, by: two)
        script.settle(second, by: two, .alreadySettled)
        return script
    },
    .breaks(.keyOrder, "a later message comes while the earlier one waits") {
        var script = Script(ordering: .keyed)
        script.publish("a", key: "k")
        script.publish("b", key: "k")
        script.settle(script.deliver("a"), retry)
        script.deliver("b")
        return script
    },
    .breaks(.keyOrder, "a later message comes first") {
        var script = Script(ordering: .keyed)
        script.publish("a", key: "k")
        script.publish("b", key: "k")
        script.settle(script.deliver("b"))
        script.deliver("a")
        return script
    },
    .keeps(.keyOrder, "one after the other, over a dead letter, other keys at any time") {
        var script = Script(ordering: .keyed)
        script.publish("a", key: "k")
        script.publish("x", key: "other")
        script.publish("b", key: "k")
        script.publish("c", key: "k")
        script.deliver("x")
        script.settle(script.deliver("a"))
        script.settle(script.deliver("b"), reject)
        script.deliver("c")
        return script
    },
]

@Suite("A history says which law was broken")
struct HistoryCheckerTests {
    @Test(arguments: coming + ending + holding)
    fileprivate func judges(_ example: Example) {
        let found = HistoryChecker().violations(of: example.write().events)
        if example.isBroken {
            #expect(found.contains { $0.law == example.law }, "found \(found.map(\.law))")
        } else {
            #expect(found.isEmpty, "found \(found)")
        }
    }

    @Test("every law has a history that keeps it and one that breaks it")
    func complete() {
        for law in HistoryLaw.allCases where law != .conservation {
            let examples = (coming + ending + holding).filter { $0.law == law }
            #expect(examples.contains { $0.isBroken }, "\(law)")
            #expect(examples.contains { !$0.isBroken }, "\(law)")
        }
    }

    @Test("a violation tells the events of its message and of no other")
    func minimal() throws {
        var script = Script()
        script.publish("bystander")
        script.publish("a")
        script.deliver("bystander", to: two)
        script.settle(script.deliver("a"))
        script.deliver("a", attempt: 2)
        let violation = try #require(HistoryChecker().violations(of: script.events).first { $0.law == .ended })
        #expect(violation.ids == ["a"])
        #expect(!violation.description.contains("bystander"))
        #expect(violation.events.count == 5, "declare, publish, got, acknowledge, got: \(violation)")
    }

    @Test(
        "where settlements are not confirmed and moves not atomic, a failure excuses what comes again, and nothing else does"
    )
    func failures() {
        for breaks in [false, true] {
            var script = Script()
            script.publish("a")
            script.settle(script.deliver("a"))
            if breaks { script.add(.receiveFailed(one, isCancelled: false, "unavailable")) }
            script.deliver("a", attempt: 2)
            let isBroken = { (checker: HistoryChecker) in !checker.violations(of: script.events).isEmpty }
            #expect(isBroken(HistoryChecker()))
            #expect(isBroken(HistoryChecker(isConfirmed: false)) == !breaks)

            script = Script()
            script.publish("b")
            script.deliver("b")
            if breaks { script.add(.receiveFailed(one, isCancelled: false, "unavailable")) }
            script.deliver("b", to: two, attempt: 1)
            #expect(!HistoryChecker().violations(of: script.events).isEmpty)
            #expect(HistoryChecker(isAtomic: false).violations(of: script.events).isEmpty == breaks)

            // The broker may know of a broken connection before its client does; a lease later it is no excuse.
            for delay in [0, 11] {
                script = Script()
                script.publish("c")
                script.deliver("c")
                script.deliver("c", to: two, attempt: 2)
                script.wait(delay)
                if breaks { script.add(.receiveFailed(one, isCancelled: false, "unavailable")) }
                let isExcused = breaks && delay == 0
                #expect(HistoryChecker(isAtomic: false).violations(of: script.events).isEmpty == isExcused)
            }
        }
    }

    @Test("a fault that was let loose excuses what comes again after a closing, and nothing else does")
    func unseenBreaks() {
        for (isDisturbed, isClosed) in [(false, true), (true, false), (true, true)] {
            var script = Script()
            script.publish("a")
            if isDisturbed { script.add(.disturbed("cut")) }
            script.deliver("a")
            script.deliver("a", to: two, attempt: 2)
            if isClosed { script.add(.consumerClosed(one)) }
            #expect(!HistoryChecker().violations(of: script.events).isEmpty)
            let isExcused = HistoryChecker(isAtomic: false).violations(of: script.events).isEmpty
            #expect(isExcused == (isDisturbed && isClosed))
        }
    }

    private static func figures(ready: Int = 0, inFlight: Int = 0, delayed: Int = 0, dead: Int = 0) -> QueueStatistics {
        let group = GroupStatistics(
            group: "g",
            ready: .exact(ready),
            inFlight: .exact(inFlight),
            delayed: .exact(delayed),
            dead: .exact(dead),
            consumers: .exact(0),
            oldestAge: nil
        )
        return QueueStatistics(queue: "q", groups: [group], scheduled: .exact(0), stored: .exact(0))
    }

    @Test("what was accepted is there or done, and nothing else is")
    func conservation() throws {
        var script = Script()
        for id in ["a", "b", "c", "d", "e"] as [MessageID] { script.publish(id) }
        script.publish("a", .duplicate)
        script.publish("f", .refused("queue-full"))
        script.publish("later", due: true)
        script.add(.cancelled("later", queue: "q", .done))
        script.settle(script.deliver("a"))
        script.settle(script.deliver("b"), reject)
        script.deliver("c")
        let checker = HistoryChecker()
        let kept = Self.figures(ready: 2, inFlight: 1, dead: 1)
        #expect(checker.conservation(of: script.events, kept) == nil)
        let lost = try #require(checker.conservation(of: script.events, Self.figures(ready: 1, inFlight: 1, dead: 1)))
        #expect(lost.law == .conservation)
        #expect(lost.ids.prefix(2) == ["d", "e"], "what never came is named first")
        let doubled = Self.figures(ready: 3, inFlight: 1, dead: 1)
        #expect(checker.conservation(of: script.events, doubled) != nil)
        #expect(checker.conservedQueues(of: script.events) == ["q"])
        // What is unknown may be there or not, and no more than that.
        script.publish("g", .unknown("indeterminate"))
        #expect(checker.conservation(of: script.events, kept) == nil)
        #expect(checker.conservation(of: script.events, doubled) == nil)
        #expect(checker.conservation(of: script.events, Self.figures(ready: 4, inFlight: 1, dead: 1)) != nil)
        script.add(.foreign(queue: "q"))
        #expect(checker.conservation(of: script.events, Self.figures()) == nil)
        #expect(checker.conservedQueues(of: script.events) == [])
    }

    @Test("a group is held to what was published since it began")
    func lateGroup() {
        for (start, least) in [(GroupDefinition.Start.latest, 1), (.earliest, 1)] {
            var script = Script(groups: ["first"])
            script.publish("old")
            script.declare(["g"], start: start)
            script.publish("new")
            let checker = HistoryChecker()
            #expect(checker.conservation(of: script.events, Self.figures(ready: least)) == nil)
            #expect(checker.conservation(of: script.events, Self.figures(ready: least - 1)) != nil)
            let more = checker.conservation(of: script.events, Self.figures(ready: 2))
            #expect(
                (more == nil) == (start == .earliest),
                "the old one belongs to who begins early, if it is still held"
            )
        }
    }
}

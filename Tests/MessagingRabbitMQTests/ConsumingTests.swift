#if RabbitMQ
import Messaging
import Testing

@testable import MessagingRabbitMQ

@Suite("Deliveries are acknowledged in few words and never too many")
struct DeliveryWindowTests {
    private typealias Acknowledgement = DeliveryWindow.Acknowledgement

    private func window(_ count: UInt64) -> DeliveryWindow {
        var window = DeliveryWindow()
        for tag in 1...count { window.delivered(tag) }
        return window
    }

    @Test func oneWordForAllThatIsFinishedFromTheStart() {
        var window = window(5)
        for tag: UInt64 in [2, 1, 3] { window.finish(tag) }
        #expect(window.takeAcknowledgements() == [Acknowledgement(tag: 3, multiple: true)])
        #expect(window.outstanding == 2)
        #expect(window.takeAcknowledgements().isEmpty)
    }

    @Test func neverOverAnUnfinishedOne() {
        var window = window(6)
        for tag: UInt64 in [1, 3, 5] { window.finish(tag) }
        #expect(
            window.takeAcknowledgements() == [
                Acknowledgement(tag: 1, multiple: false), Acknowledgement(tag: 3, multiple: false),
                Acknowledgement(tag: 5, multiple: false),
            ]
        )
        // What lies below is all finished now, whatever was said of it before.
        for tag: UInt64 in [2, 4] { window.finish(tag) }
        #expect(window.takeAcknowledgements() == [Acknowledgement(tag: 4, multiple: true)])
        #expect(window.outstanding == 1)
    }

    @Test func twiceOrUnknownChangesNothing() {
        var window = window(2)
        window.finish(1)
        window.finish(1)
        window.finish(0)
        window.finish(9)
        #expect(window.outstanding == 1)
        #expect(window.takeAcknowledgements() == [Acknowledgement(tag: 1, multiple: false)])
        window.finish(1)
        #expect(window.takeAcknowledgements().isEmpty)
    }

    @Test func whatWasGivenBackIsNotAcknowledged() {
        var window = window(3)
        window.giveBack(1)
        #expect(window.takeAcknowledgements().isEmpty)
        window.finish(2)
        #expect(window.takeAcknowledgements() == [Acknowledgement(tag: 2, multiple: false)])
        #expect(window.outstanding == 1)
    }

    /// Whatever the order, the broker ends up with each delivery acknowledged once it was finished, and none before.
    @Test(arguments: 0..<50 as Range<UInt64>)
    func agreesWithTheBroker(_ seed: UInt64) {
        var generator = SeededGenerator(seed: seed)
        var window = DeliveryWindow()
        var (last, open, out, finished): (UInt64, Set<UInt64>, Set<UInt64>, Set<UInt64>) = (0, [], [], [])
        for _ in 0..<400 {
            switch Int.random(in: 0..<4, using: &generator) {
            case 0, 1:
                last += 1
                window.delivered(last)
                open.insert(last)
                out.insert(last)
            case 2:
                guard let tag = open.randomElement(using: &generator) else { continue }
                open.remove(tag)
                finished.insert(tag)
                window.finish(tag)
            default:
                for word in window.takeAcknowledgements() {
                    let meant = word.multiple ? out.filter { $0 <= word.tag } : Set([word.tag])
                    #expect(meant.isSubset(of: finished), "acknowledged unfinished deliveries")
                    #expect(out.contains(word.tag), "acknowledged twice")
                    out.subtract(meant)
                }
                #expect(out == open)
            }
            #expect(window.outstanding == open.count)
        }
    }
}

@Suite("Subscriptions are as large as what is wanted, and end only when they are used up")
struct SubscriptionPlanTests {
    @Test(arguments: [
        // size, out, finished, wanted
        (0, 0, 0, 5, SubscriptionPlan.Step.renew(size: 5)),
        (5, 2, 0, 3, .keep),
        (5, 2, 0, 900, .keep),
        (5, 5, 0, 3, .renew(size: 3)),
        (5, 5, 2, 2, .keep),
        (5, 5, 1, 2, .keep),
        (1, 1, 1, 500, .renew(size: 500)),
        (500, 500, 500, 500, .keep),
        (3, 3, 0, 0, .renew(size: 1)),
        (3, 3, 0, 100_000, .renew(size: 65535)),
    ])
    func decides(_ size: Int, _ out: Int, _ finished: Int, _ wanted: Int, _ step: SubscriptionPlan.Step) {
        #expect(SubscriptionPlan(size: size).step(wanted: wanted, out: out, finished: finished) == step)
    }

    @Test func aSubscriptionThatIsNotUsedUpIsNeverEnded() {
        for out in 0..<5 {
            for finished in 0...out {
                for wanted in 0..<20 {
                    #expect(SubscriptionPlan(size: 5).step(wanted: wanted, out: out, finished: finished) == .keep)
                }
            }
        }
    }
}

@Suite("What was published is confirmed by number, and what came back by id")
struct ConfirmTableTests {
    @Test func oneByOneAndManyAtOnce() {
        var table = ConfirmTable<Int>()
        for index in 0..<5 { table.sent(index, id: "m\(index)", size: 10) }
        #expect(table.confirmed(2, multiple: false, isAccepted: true).map(\.0) == [1])
        #expect(table.count == 4 && table.bytes == 40)
        #expect(table.confirmed(4, multiple: true, isAccepted: false).map(\.0) == [0, 2, 3])
        #expect(table.confirmed(4, multiple: true, isAccepted: true).isEmpty)
        #expect(table.confirmed(99, multiple: true, isAccepted: true).isEmpty)
        #expect(table.takeAll() == [4])
        #expect(table.isEmpty)
    }

    @Test func returnsMatchTheFirstOfTheirID() {
        var table = ConfirmTable<Int>()
        for index in 0..<3 { table.sent(index, id: "same", size: 0) }
        table.returned(id: "same")
        table.returned(id: "other")
        #expect(table.confirmed(3, multiple: true, isAccepted: true).map(\.1) == [.returned, .accepted, .accepted])
    }
}

@Suite("A consumer's deliveries are settled once")
struct ConsumerContextTests {
    private func context(lease: Duration = .seconds(10), maxAttempts: Int = 3) -> ConsumerContext {
        let context = ConsumerContext(
            queue: "q",
            group: GroupDefinition("g", lease: lease, maxAttempts: maxAttempts),
            name: "c",
            isAtMostOnce: false
        ) { _, _, _ in }
        context.begin()
        return context
    }

    private func wire(_ text: String, attempts: Int = 0) -> WireMessage {
        var wire = WireMessage(Message(text: text, id: MessageID(text)))
        wire.attempts = attempts
        return wire
    }

    @Test func acknowledgementsEndAtOnceAndMovesWhenTheirCopyIsConfirmed() {
        let context = context()
        let held = context.handOver([(1, wire("a")), (2, wire("b")), (3, wire("c", attempts: 2))], at: .zero)
        #expect(held.map(\.attempt) == [1, 1, 3])
        let begun = context.begin(
            [
                SettleRequest(held[0].receipt, .acknowledge), SettleRequest(held[0].receipt, .acknowledge),
                SettleRequest(held[1].receipt, .retry(after: .zero, error: "no")),
                SettleRequest(held[2].receipt, .retry(after: .zero, error: "no")),
            ],
            now: 1000
        )
        #expect(begun.finished == [1])
        #expect(begun.moves.map(\.copy.routingKey) == ["mq.q@g", "mq.q@g@dlq"], "the last attempt is a dead letter")
        #expect(begun.outcomes[1].error?.code == .alreadySettled)
        #expect(!context.concluded(held[1].receipt, isCopied: false))
        #expect(context.concluded(held[2].receipt, isCopied: true))
        // What could not be copied is still held and can be settled again.
        #expect(context.begin([SettleRequest(held[1].receipt, .acknowledge)], now: 0).finished == [2])
        #expect(context.begin([SettleRequest(held[2].receipt, .acknowledge)], now: 0).finished.isEmpty)
    }

    @Test func leasesRunOutUnlessRenewedOrBeingSettled() {
        let context = context(lease: .seconds(10))
        let held = context.handOver((1...3).map { ($0, wire("m\($0)")) }, at: .zero)
        #expect(context.nextExpiry == .seconds(10))
        #expect(context.renew([held[0].receipt], at: .seconds(5)) == [true])
        _ = context.begin([SettleRequest(held[1].receipt, .release)], now: 0)
        #expect(context.expired(.seconds(9)).isEmpty)
        #expect(context.expired(.seconds(10)) == [3])
        #expect(context.nextExpiry == .seconds(15))
        #expect(context.renew([held[2].receipt], at: .seconds(10)) == [false])
        #expect(
            context.begin([SettleRequest(held[2].receipt, .acknowledge)], now: 0).outcomes[0].error?.code == .leaseLost
        )
    }

    @Test func nothingOfAnEarlierConnectionCountsAndNothingOfAnotherConsumer() {
        let context = context()
        let old = context.handOver([(1, wire("a"))], at: .zero)[0]
        context.end()
        context.begin()
        let new = context.handOver([(1, wire("b"))], at: .zero)[0]
        #expect(context.begin([SettleRequest(old.receipt, .acknowledge)], now: 0).outcomes[0].error?.code == .leaseLost)
        let other = self.context()
        _ = other.handOver([(1, wire("a"))], at: .zero)
        #expect(other.begin([SettleRequest(new.receipt, .acknowledge)], now: 0).outcomes[0].error?.code == .leaseLost)
        #expect(context.begin([SettleRequest(new.receipt, .acknowledge)], now: 0).finished == [1])
    }
}
#endif

#if Redis
import Messaging
import Testing

@testable import MessagingRedis

@Suite("Moving a queue on Redis: what needs no server")
struct TransferPlanTests {
    @Test(
        "a page begins only where one of its state can have ended",
        arguments: [
            (StoredMessage.State.ready, "l1-0", true), (.ready, "r18446744073709551615-1", true),
            (.ready, "1-0", false), (.inFlight, "l1", false), (.inFlight, "", false), (.ready, "x1-0", false),
            (.waiting, "1795234706421:17-0l", true), (.scheduled, "0:", true), (.scheduled, "0", false),
            (.scheduled, "soon:a", false), (.dead, "1-0", true), (.dead, "(1-0", false), (.dead, "+", false),
            (.reserved, "d:d:1-0", false), (.reserved, "d:1-0", true), (.reserved, "s:4001795234706421:a:b", true),
            (.reserved, "s:a", false), (.reserved, "w:3:a:b:40:x", true), (.reserved, "w:3:a:b", false),
            (.reserved, "w:9:a:b:40:x", false), (.reserved, "w:-1:a:40:x", false), (.reserved, "", false),
        ]
    )
    func cursors(_ state: StoredMessage.State, _ text: String, _ isCursor: Bool) {
        #expect(TransferPlan.isCursor(text, of: state) == isCursor)
    }

    private func stored(_ state: StoredMessage.State, group: String?, id: String = "1") -> StoredMessage {
        StoredMessage(id: id, state: state, group: group, message: Message(text: "x", id: "m"), attempts: 3)
    }

    @Test("a message goes to its group, to its dead letters, or to all")
    func kinds() {
        #expect(TransferPlan.kind(stored(.scheduled, group: nil)) == "q")
        #expect(TransferPlan.kind(stored(.waiting, group: "g")) == "g")
        // Also without a reason: what was dead is not tried again.
        #expect(TransferPlan.kind(stored(.dead, group: "g")) == "d")
    }

    @Test("what cannot be written in is refused with its reason")
    func problems() {
        func problem(_ stored: StoredMessage) -> QueueError.Code? {
            TransferPlan.problem(stored, maxBodyBytes: 10, queue: "q")?.code
        }
        #expect(problem(stored(.dead, group: nil)) == .invalidArgument)
        #expect(problem(stored(.ready, group: "g", id: "")) == .invalidArgument)
        #expect(problem(stored(.ready, group: "g")) == nil)
        var large = stored(.ready, group: "g")
        large.message.body = Array(repeating: 0, count: 11)
        #expect(problem(large) == .tooLarge)
    }

    @Test("an answer that is missing leaves the outcome open")
    func outcomes() {
        let message = stored(.ready, group: "g")
        func code(_ answer: String) -> QueueError.Code? { TransferPlan.outcome(answer, message, "q").error?.code }
        #expect(TransferPlan.outcome("A", message, "q").error == nil)
        #expect(TransferPlan.outcome("D", message, "q").error == nil)
        #expect(code("G") == .notFound)
        #expect(code("") == .indeterminate)
    }

    @Test("the time that a retry waits for is not the time it was published for")
    func times() {
        func fields(_ stored: StoredMessage) -> [String: String] {
            Dictionary(WireFormat.state(of: stored).map { ($0.0, String(decoding: $0.1, as: UTF8.self)) }) { $1 }
        }
        var waiting = stored(.waiting, group: "g")
        waiting.due = UnixTime.date(5000)
        #expect(fields(waiting)["mq-due"] == nil)
        #expect(fields(waiting)["retry_count"] == "3")
        waiting.message.due = .at(UnixTime.date(1000))
        #expect(fields(waiting)["mq-due"] == "1000")
        var scheduled = stored(.scheduled, group: nil)
        scheduled.due = UnixTime.date(5000)
        #expect(fields(scheduled)["mq-due"] == "5000")
        let dead = fields(stored(.dead, group: "g"))
        #expect(dead["mq-attempts"] == "3" && dead["retry_count"] == "2" && dead["mq-reason"] == "rejected")
        #expect(dead["original_message_id"] == "m" && dead["mq-group"] == "g")
    }
}
#endif

import Foundation
import Messaging
import Testing

@testable import MessagingKafka

@Suite("Messages as records")
struct EnvelopeTests {
    private func record(_ payload: KafkaPayload, timestamp: Int64? = 5) -> KafkaRecord {
        KafkaRecord(partition: 2, offset: 7, timestamp: timestamp, payload: payload)
    }

    @Test func everythingTravels() throws {
        let message = Message(body: [0, 255], key: "k", headers: ["a": "b", "A": "c"], contentType: "text/x")
        var envelope = Envelope(message, due: 1234)
        envelope.attempts = 3
        envelope.redrives = 2
        envelope.published = 99
        envelope.note(3, at: 4, by: "c", "e")
        let read = try Envelope(record(envelope.payload), topic: "t")
        #expect(read.message.id == message.id && read.message.body == message.body && read.message.key == "k")
        #expect(read.message.headers == message.headers && read.message.contentType == "text/x")
        #expect(read.message.due == .at(Date(timeIntervalSince1970: 1.234)))
        #expect(read.attempts == 3 && read.redrives == 2 && read.published == 99)
        #expect(read.history == envelope.history)
        let letter = read.deadLetter(group: "g", reason: .rejected, error: "no", attempts: 4, now: 8)
        let shown = DeadLetterBook.letter(record(letter.payload), queue: "q").letter
        #expect(shown.group == "g" && shown.reason == .rejected && shown.error == "no" && shown.attempts == 4)
        #expect(shown.message.body == message.body && shown.failedAt == Date(timeIntervalSince1970: 0.008))
        let again = try Envelope(record(letter.redriven.payload), topic: "t")
        #expect(again.attempts == 0 && again.redrives == 3 && again.group == nil && again.reason == nil)
        #expect(again.history == envelope.history)
    }

    @Test("a plain message and its envelope say the same")
    func parcels() throws {
        let message = Message(body: [1], id: "i", key: "k", headers: ["a": "b"], contentType: "text/x")
        let plain = Parcel(message, published: 5)
        let read = Parcel(try Envelope(record(Envelope(message, due: nil).payload), topic: "t"))
        #expect(plain.message == message && read.message == message)
        #expect(plain.envelope.payload == read.envelope.payload && plain.published == read.published)
        #expect(plain.attempts == 0 && plain.redrives == 0 && plain.history.isEmpty)
        var envelope = plain.envelope
        envelope.attempts = 2
        envelope.note(2, at: 4, by: "c", "e")
        var changed = plain
        changed.envelope = envelope
        #expect(changed.message == message && changed.attempts == 2 && changed.history.map(\.error) == ["e"])
    }

    @Test("a plain record of any producer is a message, and a tombstone is one too")
    func plain() throws {
        let plain = try Envelope(record(KafkaPayload(key: [0xFF, 1], value: [65])), topic: "orders")
        #expect(plain.message.id == "orders/2/7" && plain.message.text == "A" && plain.message.key == "hex:ff01")
        #expect(plain.attempts == 0 && plain.published == 5)
        #expect(plain.payload.key == [0xFF, 1], "a copy keeps the raw key")
        let empty = try Envelope(record(KafkaPayload(key: nil, value: nil)), topic: "orders")
        #expect(empty.message.body.isEmpty && empty.message.headers[Envelope.tombstone] == "1")
        #expect(empty.payload.value == nil)
    }

    @Test(arguments: ["mq-attempts", "mq-due", "mq-redrives", "mq-published"])
    func brokenHeaderIsNoMessage(_ name: String) throws {
        let payload = KafkaPayload(key: nil, value: [1, 2], headers: [KafkaHeader(name: name, value: [0xFF])])
        let problem = #expect(throws: Envelope.Problem.self) { try Envelope(record(payload), topic: "t") }
        #expect(problem?.text.contains(name) == true && problem?.envelope.value == [1, 2])
    }

    @Test func historyIsBounded() {
        var envelope = Envelope(id: "a", value: [])
        for attempt in 1...40 {
            envelope.note(attempt, at: 0, by: "c", String(repeating: "x", count: 5000))
        }
        #expect(envelope.history.map(\.attempt) == Array(31...40))
        #expect(envelope.payload.headers.reduce(0) { $0 + $1.value.count } < 64 << 10)
    }

    @Test func headersOfZeroBytesAreRefused() {
        var message = Message(text: "x")
        message.headers["a\0b"] = "c"
        #expect(KafkaQueue.problem(message, maxBodyBytes: 10, queue: "q")?.code == .invalidArgument)
        #expect(KafkaQueue.problem(Message(text: "x"), maxBodyBytes: 10, queue: "q") == nil)
    }
}

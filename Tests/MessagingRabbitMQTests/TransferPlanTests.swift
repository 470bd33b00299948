#if RabbitMQ
import Messaging
import Testing

@testable import MessagingRabbitMQ

@Suite("Moving a queue on RabbitMQ: what needs no server")
struct TransferPlanTests {
    private func arrived(_ copy: OutgoingMessage) -> IncomingMessage {
        IncomingMessage(
            tag: 1,
            isAnswer: true,
            properties: copy.properties,
            body: copy.body,
            routingKey: copy.routingKey
        )
    }

    private func stored(
        _ state: StoredMessage.State,
        group: String?,
        due: Int64? = nil,
        death: StoredMessage.Death? = nil
    ) -> StoredMessage {
        StoredMessage(
            id: "far-1",
            state: state,
            group: group,
            message: Message(body: [1, 2], id: "m", key: "k", headers: ["colour": "blue"], contentType: "text/x"),
            due: due.map(UnixTime.date),
            attempts: 2,
            redrives: 1,
            history: [Failure(attempt: 1, at: 5, consumer: "c", error: "no")],
            publishedAt: UnixTime.date(9000),
            death: death
        )
    }

    private func routes(_ groups: [String] = ["g"], queue: String = "q", lanes: Int = 0) -> TransferRoutes {
        TransferRoutes(queue, groups: groups, lanes: lanes)
    }

    @Test("a routing key says where a message goes, and how long it may still take")
    func routes() throws {
        let key = DelayPlan.key(1300, to: "mq.a.b@g")
        let route = try #require(DelayPlan.route(key, from: 27))
        #expect(route.destination == "mq.a.b@g" && route.milliseconds == 1300)
        // At level 2 what the higher levels held is over.
        #expect(DelayPlan.route(key, from: 2)?.milliseconds == 500)
        #expect(DelayPlan.route(key, from: 0)?.milliseconds == 100)
        #expect(DelayPlan.route("mq.a", from: 3) == nil)
        #expect(DelayPlan.route(key, from: 28) == nil && DelayPlan.route(key, from: -1) == nil)
        #expect(DelayPlan.route(DelayPlan.key(DelayPlan.longest, to: "x"), from: 27)?.milliseconds == DelayPlan.longest)
    }

    @Test("what is written in for later is read from the levels as it was")
    func roundTrip() throws {
        let waiting = stored(.waiting, group: "g", due: 61_000)
        let copy = TransferPlan.copy(waiting, mayBeDouble: false, routes(), now: 1000)
        #expect(copy.exchange == DelayPlan.top)
        func read(_ level: Int, _ groups: [String], now: Int64) -> StoredMessage? {
            TransferPlan.later(arrived(copy), level: level, routes(groups), now: now)
        }
        var found = try #require(read(9, ["other", "g"], now: 2000))
        #expect(found.id.hasPrefix("w:g:m:2:"))
        #expect(found.due.map { UnixTime.milliseconds($0) } == 61_000)
        #expect(TransferPlan.place(found.id) == .later)
        found.id = waiting.id
        #expect(found == waiting)
        // Its id does not change while it goes down.
        #expect(read(3, ["g"], now: 50_000)?.id == read(9, ["g"], now: 2000)?.id)
        #expect(read(9, ["other"], now: 2000) == nil)
        #expect(TransferPlan.later(arrived(copy), level: 9, routes(queue: "another"), now: 0) == nil)

        let scheduled = TransferPlan.copy(
            stored(.scheduled, group: nil, due: 61_000),
            mayBeDouble: false,
            routes(),
            now: 0
        )
        let schedule = try #require(
            TransferPlan.later(arrived(scheduled), level: 27, routes(), now: 0)
        )
        #expect(schedule.state == .scheduled && schedule.group == nil && schedule.attempts == 0)
        #expect(schedule.due.map { UnixTime.milliseconds($0) } == 61_000)
    }

    @Test("a message that does not say its time comes late and never early")
    func unknownTime() throws {
        var copy = TransferPlan.copy(stored(.waiting, group: "g", due: 1300), mayBeDouble: false, routes(), now: 0)
        copy.properties.headers.removeAll { $0.name == "mq-until" }
        let found = TransferPlan.later(arrived(copy), level: 3, routes(), now: 7000)
        #expect(found?.due.map { UnixTime.milliseconds($0) } == 8300)
    }

    @Test("a retry says until when it waits")
    func retries() {
        func until(_ delay: Duration) -> AMQPValue? {
            Copies.retry(
                WireMessage(Message(text: "x")),
                attempt: 1,
                after: delay,
                error: nil,
                consumer: "c",
                queue: "q",
                group: "g",
                now: 1000
            ).properties.headers.value("mq-until")
        }
        #expect(until(.seconds(2))?.integer == 3000)
        #expect(until(.zero) == nil)
    }

    @Test("what is due is written to its group, and a schedule to all of them, whether or not the queue is closed")
    func overdue() {
        let retry = TransferPlan.copy(stored(.waiting, group: "g", due: 1000), mayBeDouble: true, routes(), now: 1000)
        #expect(retry.exchange.isEmpty && retry.routingKey == "mq.q@g")
        #expect(retry.properties.headers.value("mq-maybe-dup") == .bool(true))
        let schedule = TransferPlan.copy(stored(.scheduled, group: nil, due: 1), mayBeDouble: false, routes(), now: 9)
        #expect(schedule.exchange == DelayPlan.out && schedule.routingKey == DelayPlan.key(0, to: "mq.q"))
        #expect(schedule.properties.headers.value("mq-maybe-dup") == nil)
    }

    @Test("a dead letter keeps what it had, and is the same letter when it is written in again")
    func dead() throws {
        let death = StoredMessage.Death(reason: .attemptsExhausted, error: "no", failedAt: UnixTime.date(77))
        let letter = stored(.dead, group: "g", death: death)
        let copy = TransferPlan.copy(letter, mayBeDouble: false, routes(), now: 1)
        #expect(copy.exchange.isEmpty && copy.routingKey == "mq.q@g@dlq")
        var found = TransferPlan.dead(arrived(copy), queue: "q", group: "g")
        #expect(TransferPlan.place(found.id) == .dead(group: "g"))
        #expect(found.id == TransferPlan.dead(arrived(copy), queue: "q", group: "g").id)
        let again = TransferPlan.copy(letter, mayBeDouble: true, routes(), now: 5)
        #expect(TransferPlan.dead(arrived(again), queue: "q", group: "g").id == found.id)
        found.id = letter.id
        #expect(found == letter)
    }

    @Test("what cannot be written in is refused with its reason")
    func problems() {
        func problem(_ stored: StoredMessage) -> QueueError.Code? {
            TransferPlan.problem(stored, maxBodyBytes: 2, queue: "q", groups: ["g"])?.code
        }
        #expect(problem(stored(.ready, group: "g")) == nil)
        #expect(problem(stored(.ready, group: "h")) == .notFound)
        #expect(problem(stored(.dead, group: nil)) == .invalidArgument)
        var large = stored(.ready, group: "g")
        large.message.body.append(3)
        #expect(problem(large) == .tooLarge)
    }

    @Test("no id of another form names a place")
    func places() {
        #expect(TransferPlan.place("d:x@g") == .dead(group: "g"))
        for id in ["", "x", "d:", "d:x", "q:1"] { #expect(TransferPlan.place(id) == nil) }
    }

    @Test("the levels are looked at only where that does no harm")
    func limits() {
        #expect(
            TransferPlan.limits(version: "3.13.7").unlisted.keys.sorted { $0.rawValue < $1.rawValue } == [
                .inFlight, .ready,
            ]
        )
        for version in ["4.1.0", "unknown"] {
            #expect(TransferPlan.limits(version: version).unlisted[.scheduled] != nil)
        }
    }

    @Test("a listing holds what comes first, each once, in whatever order it was seen")
    func rows() throws {
        func row(_ number: Int) -> StoredMessage {
            StoredMessage(
                id: String(number + 100_000),
                state: .waiting,
                group: "g",
                message: Message(text: "\(number)")
            )
        }
        var rows = StoredRows(after: nil)
        for number in (0..<7000).shuffled() + [3, 4] { rows.add(row(number)) }
        var seen: [String] = []
        var cursor: DeadLetterPlan.Position?
        var walks = 1
        while seen.count < 8000 {
            guard let page = rows.page(900) else {
                walks += 1
                rows = StoredRows(after: cursor)
                for number in 0..<7000 { rows.add(row(number)) }
                continue
            }
            seen += page.elements.map(\.id)
            guard let next = page.next else { break }
            cursor = DeadLetterPlan.Position(next)
        }
        #expect(seen == (0..<7000).map { String($0 + 100_000) })
        #expect(walks == 2)
        var large = StoredRows(after: nil)
        for number in 0..<5 {
            var big = row(number)
            big.message.body = Array(repeating: 0, count: 20 << 20)
            large.add(big)
        }
        let found = large.page(10)
        let page = try #require(found)
        #expect(page.elements.count == 1 && page.next != nil)
    }

    @Test("what was written in is known until it is forgotten, and what is in doubt is written again")
    func memory() {
        var ids = RestoredIDs()
        ids.note(.accepted, of: "a", "q")
        let doubt = QueueError(.indeterminate, "unknown")
        ids.note(.indeterminate(doubt), of: "b", "q")
        ids.note(.refused(doubt), of: "c", "q")
        #expect(ids.isKnown("a", of: "q") && !ids.isKnown("a", of: "r"))
        #expect(!ids.isKnown("b", of: "q") && ids.isDoubtful("b", of: "q") && !ids.isDoubtful("c", of: "q"))
        ids.note(.accepted, of: "b", "q")
        #expect(ids.isKnown("b", of: "q") && !ids.isDoubtful("b", of: "q"))
        ids.forget("q")
        #expect(!ids.isKnown("a", of: "q"))
    }

    @Test("closing removes every way in that declaring makes, and opening makes them again", arguments: [0, 3])
    func intake(lanes: Int) {
        let group = GroupDefinition("g")
        let parts = lanes == 0 ? Topology.group("q", group) : Topology.keyed("q", group, lanes: lanes)
        let made = Topology.exchange("q", lanes: lanes) + Topology.later("q") + parts
        var bindings: Set<String> = []
        func apply(_ methods: [AMQPMethod]) {
            for method in methods {
                switch method {
                case .queueBind(let name, let exchange, let key): bindings.insert("\(exchange)>\(name) \(key)")
                case .exchangeBind(let name, let source, let key): bindings.insert("\(source)>\(name) \(key)")
                case .queueUnbind(let name, let exchange, let key): bindings.remove("\(exchange)>\(name) \(key)")
                case .exchangeUnbind(let name, let source, let key): bindings.remove("\(source)>\(name) \(key)")
                default: break
                }
            }
        }
        apply(made)
        let open = bindings
        apply(Topology.intake("q", groups: ["g"], lanes: lanes, isOpen: false))
        let names = ["mq.q"] + (0..<lanes).map { "mq.q@lane@\($0)" }
        let work = Topology.work("q", "g", lanes: lanes)
        for name in names {
            #expect(!bindings.contains { $0.hasPrefix("mq.q@later>") || $0.hasPrefix("\(DelayPlan.out)>\(name) ") })
            #expect(!work.contains { bindings.contains("\(name)>\($0) #") })
        }
        // What is due meanwhile goes to the group.
        for (index, name) in names.enumerated() {
            let queue = lanes == 0 ? "mq.q@g" : "mq.q@g@lane@\(max(0, index - 1))"
            #expect(bindings.contains("\(DelayPlan.out)>\(queue) \(DelayPlan.binding(name))"))
        }
        let closed = bindings
        apply(
            Topology.withoutIntake(made, of: "q", lanes: lanes) + Topology.closed("q", groups: ["g"], lanes: lanes)
        )
        #expect(bindings == closed)
        apply(Topology.intake("q", groups: ["g"], lanes: lanes, isOpen: true))
        #expect(bindings == open)
    }

    @Test("what is written in to a keyed queue goes to the lane of its key, and a retry waits there")
    func lanes() throws {
        let routes = routes(["g", "h"], lanes: 8)
        let message = stored(.ready, group: "g").message
        let lane = try #require(Lanes.lane(of: message, among: 8))
        func copy(_ stored: StoredMessage) -> OutgoingMessage {
            TransferPlan.copy(stored, mayBeDouble: false, routes, now: 1000)
        }
        for one in [stored(.ready, group: "g"), stored(.waiting, group: "g", due: 61_000)] {
            #expect(copy(one).exchange.isEmpty && copy(one).routingKey == "mq.q@g@lane@\(lane)")
        }
        #expect(copy(stored(.waiting, group: "g", due: 61_000)).properties.headers.value("mq-until")?.integer == 61_000)
        #expect(copy(stored(.dead, group: "g")).routingKey == "mq.q@g@dlq")
        let schedule = copy(stored(.scheduled, group: nil, due: 61_000))
        #expect(DelayPlan.route(schedule.routingKey, from: 27)?.destination == "mq.q@lane@\(lane)")
        let found = try #require(TransferPlan.later(arrived(schedule), level: 27, routes, now: 1000))
        #expect(found.state == .scheduled && found.group == nil && found.message == message.scheduled(61_000))
        #expect(TransferPlan.later(arrived(schedule), level: 27, self.routes(), now: 1000) == nil)
        #expect(routes.owner(of: "mq.q@h@lane@7") == .group("h") && routes.owner(of: "mq.q@h@lane@8") == nil)
    }
}

extension Message {
    fileprivate func scheduled(_ due: Int64) -> Message {
        var message = self
        message.due = .at(UnixTime.date(due))
        return message
    }
}
#endif

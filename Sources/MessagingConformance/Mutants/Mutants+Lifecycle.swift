import Messaging

extension Mutants {
    static let lifecycle: [Mutant] = [
        Mutant(
            "close-keeps-leases",
            "what a closed consumer held comes only after its lease",
            killedBy: ["life.giveBack", "life.afterClose", "group.rebalance", "life.leaks"]
        ) {
            let closed = Memory<String>()
            $0.onLeave = { closed.insert($0.name) }
            $0.onReceive = { consumer, max, wait throws(QueueError) in
                if closed.contains(consumer.name) { throw QueueError(.closed, "the consumer was closed") }
                return try await consumer.base.receive(max: max, wait: wait)
            }
            $0.onSettle = { consumer, requests throws(QueueError) in
                if closed.contains(consumer.name) { throw QueueError(.closed, "the consumer was closed") }
                return try await consumer.base.settle(requests)
            }
            $0.onRenew = { consumer, receipts throws(QueueError) in
                if closed.contains(consumer.name) { throw QueueError(.closed, "the consumer was closed") }
                return try await consumer.base.renew(receipts)
            }
        },
        Mutant(
            "close-acknowledges",
            "what a closed consumer held is gone",
            killedBy: ["life.giveBack", "life.afterClose", "group.rebalance"]
        ) {
            $0.onLeave = { await leave($0, .acknowledge) }
        },
        Mutant("close-uncounted", "closing does not count the attempt", killedBy: ["life.giveBack", "group.rebalance"])
        {
            $0.onLeave = { await leave($0, .release) }
        },
        Mutant("closed-receive-silent", "a closed consumer receives nothing", killedBy: ["life.afterClose"]) {
            $0.onReceive = { consumer, max, wait throws(QueueError) in
                let result = await attempt { () throws(QueueError) in
                    try await consumer.base.receive(max: max, wait: wait)
                }
                return try silent(result, [])
            }
        },
        Mutant("closed-settle-silent", "a closed consumer settles", killedBy: ["life.afterClose"]) {
            $0.onSettle = { consumer, requests throws(QueueError) in
                let result = await attempt { () throws(QueueError) in try await consumer.base.settle(requests) }
                return try silent(result, requests.map { _ in .settled })
            }
        },
        Mutant("closed-renew-silent", "a closed consumer renews", killedBy: ["life.afterClose"]) {
            $0.onRenew = { consumer, receipts throws(QueueError) in
                let result = await attempt { () throws(QueueError) in try await consumer.base.renew(receipts) }
                return try silent(result, receipts.map { _ in true })
            }
        },
        Mutant(
            "closed-publish-silent",
            "a closed client publishes",
            killedBy: ["life.afterClose", "life.concurrentClose"]
        ) {
            $0.onPublish = { base, messages, queue throws(QueueError) in
                let result = await attempt { () throws(QueueError) in try await base.publish(messages, to: queue) }
                return try silent(result, messages.map { _ in .accepted })
            }
        },
        Mutant("closed-declare-silent", "a closed client declares", killedBy: ["life.afterClose"]) {
            $0.onDeclare = { base, definition throws(QueueError) in
                try silent(await attempt { () throws(QueueError) in try await base.declare(definition) }, ())
            }
        },
        Mutant("closed-redrive-silent", "a closed client redrives", killedBy: ["life.afterClose"]) {
            $0.onRedrive = { base, ids, queue throws(QueueError) in
                try silent(await attempt { () throws(QueueError) in try await base.redrive(ids, of: queue) }, [])
            }
        },
        Mutant("closed-cancel-silent", "a closed client cancels", killedBy: ["life.afterClose"]) {
            $0.onCancel = { base, ids, queue throws(QueueError) in
                try silent(
                    await attempt { () throws(QueueError) in try await base.cancelScheduled(ids, of: queue) },
                    []
                )
            }
        },
        Mutant("consumers-uncounted", "no consumer is counted", killedBy: ["life.leaks"]) {
            $0.changeFigures { $0.consumers = .exact(0) }
        },
        Mutant(
            "close-releases-nothing",
            "a worker that stops leaves what it holds leased",
            killedBy: ["life.drainLimit"]
        ) {
            $0.changeSettlements { $0 == .release ? .retry(after: .seconds(3600), error: nil) : $0 }
        },
    ]

    private static func leave(_ consumer: MutantConsumer, _ settlement: Settlement) async {
        let requests = consumer.notes.deliveries.map { SettleRequest($0.receipt, settlement) }
        _ = await attempt { () throws(QueueError) in try await consumer.base.settle(requests) }
        await consumer.base.close()
    }

    /// Takes the error of a closed client or consumer for an answer.
    private static func silent<Value>(_ result: Result<Value, QueueError>, _ answer: Value) throws(QueueError) -> Value
    {
        if case .failure(let error) = result, error.code == .closed { return answer }
        return try result.get()
    }
}

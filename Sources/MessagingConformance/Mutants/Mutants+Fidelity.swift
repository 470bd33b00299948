import Messaging

extension Mutants {
    static let fidelity: [Mutant] = [
        Mutant("body-cut-at-nul", "a body ends before its first zero byte", killedBy: ["rt.bytes", "dlq.reason"]) {
            $0.changeMessages { $0.body = Array($0.body.prefix { $0 != 0 }) }
        },
        Mutant("body-as-text", "a body that is not UTF-8 is repaired", killedBy: ["rt.bytes"]) {
            $0.changeDeliveries { $0.message.body = Array(String(decoding: $0.message.body, as: UTF8.self).utf8) }
        },
        Mutant("empty-body-lost", "a message without a body is accepted and lost", killedBy: ["rt.bytes"]) {
            $0.onPublish = { base, messages, queue throws(QueueError) in
                let full = messages.filter { !$0.body.isEmpty }
                var outcomes = try await base.publish(full, to: queue)[...]
                return messages.map { $0.body.isEmpty ? .accepted : outcomes.popFirst() ?? .accepted }
            }
        },
        Mutant("headers-dropped", "headers do not travel", killedBy: ["rt.basic", "rt.headers", "schedule.deliver"]) {
            $0.changeDeliveries { $0.message.headers = [:] }
        },
        Mutant("headers-lower-cased", "header names come in lower case", killedBy: ["rt.headers"]) {
            $0.changeDeliveries {
                $0.message.headers = MessageHeaders(
                    $0.message.headers.map { MessageHeaders.Header(name: $0.name.lowercased(), value: $0.value) }
                )
            }
        },
        Mutant("headers-as-text", "header values that are not UTF-8 are repaired", killedBy: ["rt.headers"]) {
            $0.changeDeliveries {
                $0.message.headers = MessageHeaders(
                    $0.message.headers.map { header in
                        let text = String(decoding: header.value, as: UTF8.self)
                        return MessageHeaders.Header(name: header.name, value: Array(text.utf8))
                    }
                )
            }
        },
        Mutant("key-dropped", "the key is not delivered", killedBy: ["rt.basic", "schedule.deliver"]) {
            $0.changeDeliveries { $0.message.key = nil }
        },
        Mutant("content-type-dropped", "the media type does not travel", killedBy: ["rt.basic", "schedule.deliver"]) {
            $0.changeDeliveries { $0.message.contentType = nil }
        },
        Mutant("id-shortened", "a long id is cut", killedBy: ["rt.invalid"]) {
            $0.changeDeliveries { $0.message.id = MessageID(String($0.message.id.rawValue.prefix(100))) }
        },
        Mutant("stored-twice", "every message is stored twice", killedBy: ["rt.basic", "stats.model"]) {
            $0.onPublish = { base, messages, queue throws(QueueError) in
                let outcomes = try await base.publish(messages, to: queue)
                _ = try await base.publish(messages.map { $0.copy(due: $0.due) }, to: queue)
                return outcomes
            }
        },
        Mutant("names-folded", "queues whose names differ in punctuation are one", killedBy: ["rt.names"]) {
            $0.changeDefinitions { $0.name = folded($0.name) }
            $0.onPublish = { base, messages, queue throws(QueueError) in
                try await base.publish(messages, to: folded(queue))
            }
            $0.onConsume = { base, opening throws(QueueError) in
                try await base.consume(
                    folded(opening.queue),
                    group: opening.group,
                    consumer: opening.consumer,
                    options: opening.options
                )
            }
        },
        Mutant("queue-names-unchecked", "a queue may have any name", killedBy: ["rt.names"]) {
            $0.onDeclare = { base, definition throws(QueueError) in
                if NameRules.isValid(definition.name) { try await base.declare(definition) }
            }
        },
        Mutant("group-names-unchecked", "a group may have any name", killedBy: ["rt.names"]) {
            $0.changeDefinitions { $0.groups.removeAll { !NameRules.isValid($0.name) } }
        },
        Mutant("batch-fails-whole", "one message that is refused fails its batch", killedBy: ["rt.partialBatch"]) {
            $0.changeOutcomes { base, _, outcome, queue throws(QueueError) in
                if case .refused(let error) = outcome { throw error }
                return outcome
            }
        },
        Mutant("batch-ends-at-refusal", "what follows a refused message is lost", killedBy: ["rt.partialBatch"]) {
            $0.onPublish = { base, messages, queue throws(QueueError) in
                var outcomes: [PublishOutcome] = []
                for message in messages {
                    if case .refused? = outcomes.last {
                        outcomes.append(.accepted)
                    } else {
                        outcomes += try await base.publish([message], to: queue)
                    }
                }
                return outcomes
            }
        },
        Mutant(
            "refused-but-stored",
            "a message that is refused comes all the same",
            killedBy: ["rt.partialBatch", "rt.invalid", "pub.idConflict"]
        ) {
            $0.changeOutcomes { base, message, outcome, queue throws(QueueError) in
                if case .refused = outcome {
                    _ = try await base.publish([Message(body: Array(message.body.prefix(100)))], to: queue)
                }
                return outcome
            }
        },
        Mutant("reserved-headers-accepted", "a header may begin with mq-", killedBy: ["rt.invalid"]) {
            $0.changeMessages { message in
                message.headers = MessageHeaders(message.headers.filter { !$0.name.hasPrefix("mq-") })
            }
        },
        Mutant("empty-id-accepted", "an id may be empty", killedBy: ["rt.invalid"]) {
            $0.changeMessages { if $0.id.rawValue.isEmpty { $0.id = .make() } }
        },
        Mutant("long-id-accepted", "an id may have any length", killedBy: ["rt.invalid"]) {
            $0.changeMessages { if $0.id.rawValue.utf8.count > 512 { $0.id = .make() } }
        },
        Mutant("consumer-names-unchecked", "a consumer may have any name", killedBy: ["rt.names"]) {
            $0.onConsume = { base, opening throws(QueueError) in
                let name = NameRules.isValid(opening.consumer) ? opening.consumer : "c"
                return try await base.consume(
                    opening.queue,
                    group: opening.group,
                    consumer: name,
                    options: opening.options
                )
            }
        },
        Mutant("headers-reversed", "headers come in another order", killedBy: ["rt.headers", "obs.trace"]) {
            $0.changeDeliveries { $0.message.headers = MessageHeaders($0.message.headers.reversed()) }
        },
        Mutant("limit-refused", "the largest body is refused", killedBy: ["rt.limit"]) {
            $0.changeOutcomes { _, message, outcome, queue in
                message.body.count >= 1 << 20
                    ? .refused(QueueError(.tooLarge, "the body has \(message.body.count) bytes", queue: queue))
                    : outcome
            }
        },
        Mutant(
            "too-large-cut",
            "a body that is too large is cut and accepted",
            killedBy: ["rt.limit", "rt.partialBatch"]
        ) {
            $0.changeMessages { $0.body = Array($0.body.prefix(1 << 20)) }
        },
        Mutant("too-large-closes", "a body that is too large ends the client", killedBy: ["rt.limit"]) {
            let ended = Memory<Bool>()
            $0.onPublish = { base, messages, queue throws(QueueError) in
                if ended.contains(true) { throw QueueError(.unavailable, "the connection was closed", queue: queue) }
                let outcomes = try await base.publish(messages, to: queue)
                if outcomes.contains(where: { $0.error?.code == .tooLarge }) { ended.insert(true) }
                return outcomes
            }
        },
        Mutant(
            "large-body-damaged",
            "a body that comes in parts loses its end",
            killedBy: ["rt.limit", "rt.mixedSizes"]
        ) {
            $0.changeDeliveries { if $0.message.body.count > 1 << 17 { $0.message.body[(1 << 17)...] = [0] } }
        },
        Mutant("large-overtaken", "large bodies come behind the small ones of their batch", killedBy: ["rt.mixedSizes"])
        {
            $0.onPublish = { base, messages, queue throws(QueueError) in
                let small = messages.indices.filter { messages[$0].body.count < 1 << 16 }
                let order = small + messages.indices.filter { messages[$0].body.count >= 1 << 16 }
                let found = try await base.publish(order.map { messages[$0] }, to: queue)
                var outcomes = found
                for (place, index) in order.enumerated() { outcomes[index] = found[place] }
                return outcomes
            }
        },
        Mutant("foreign-passed-over", "what another program has written is dropped", killedBy: ["rt.foreign"]) {
            let own = Memory<MessageID>()
            $0.onPublish = { base, messages, queue throws(QueueError) in
                for message in messages { own.insert(message.id) }
                return try await base.publish(messages, to: queue)
            }
            $0.onReceive = { consumer, max, wait throws(QueueError) in
                let deliveries = try await consumer.base.receive(max: max, wait: wait)
                let foreign = deliveries.filter { !own.contains($0.message.id) }
                _ = try await consumer.base.settle(foreign.map { SettleRequest($0.receipt, .acknowledge) })
                return deliveries.filter { own.contains($0.message.id) }
            }
        },
        Mutant("undecodable-jams", "a body that is not text fails every receive", killedBy: ["rt.foreign", "rt.bytes"])
        {
            $0.onReceive = { consumer, max, wait throws(QueueError) in
                let deliveries = try await consumer.base.receive(max: max, wait: wait)
                if deliveries.allSatisfy({ String(validating: $0.message.body, as: UTF8.self) != nil }) {
                    return deliveries
                }
                _ = try await consumer.base.settle(deliveries.map { SettleRequest($0.receipt, .release) })
                throw QueueError(.brokerError, "a record cannot be decoded", queue: consumer.queue)
            }
        },
        Mutant("retry-drops-headers", "a message that is tried again has no headers", killedBy: ["obs.trace"]) {
            $0.changeDeliveries { if $0.attempt > 1 { $0.message.headers = [:] } }
        },
        Mutant("letter-drops-headers", "a dead letter has no headers", killedBy: ["obs.trace", "dlq.reason"]) {
            $0.changeLetters { $0.message.headers = [:] }
        },
        Mutant("redrive-drops-headers", "a redriven message has no headers", killedBy: ["obs.trace"]) {
            $0.changeDeliveries { if $0.redrives > 0 { $0.message.headers = [:] } }
        },
    ]

    private static func folded(_ name: String) -> String {
        String(name.map { ":/_".contains($0) ? "." : $0 })
    }
}

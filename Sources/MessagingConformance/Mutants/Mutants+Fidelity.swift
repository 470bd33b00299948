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
    ]

    private static func folded(_ name: String) -> String {
        String(name.map { ":/_".contains($0) ? "." : $0 })
    }
}

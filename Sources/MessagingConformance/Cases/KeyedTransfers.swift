import Messaging

extension Conformance {
    static let keyedTransfers: [ConformanceCase] = [keyedTransfer]

    private static let keyedTransfer = ConformanceCase(
        "transfer.keyed",
        .transfer,
        "a keyed queue moves, too: what is written in keeps the order of its key, and a closed one goes on with all it has",
        requires: [.transfer, .keyedOrder, .delay]
    ) { harness in
        let stage = try await Stage(harness) { $0.ordering = .keyed }
        let transfer = try stage.transfer()
        let later = stage.unit * 2 + harness.tolerance
        let start = harness.now
        try await stage.publish([Message(text: "scheduled", key: "s", due: .after(later))])
        for _ in 0..<2 { try await transfer.setIntake(isOpen: false, of: stage.name) }
        for due in [nil, Message.Due.after(stage.unit)] {
            let message = Message(text: "refused", key: "key-0", due: due)
            guard case .refused(let error)? = try await stage.queue.publish([message], to: stage.name).first else {
                throw ConformanceFailure("a closed queue did not refuse a message\(due == nil ? "" : " for later")")
            }
            try expectEqual(error.code, .queueClosed, "the refusal")
        }
        let (keys, turns) = (5, 6)
        let messages = (0..<turns).flatMap { turn in
            (0..<keys).map { key in
                StoredMessage(
                    id: "far-\(key)-\(turn)",
                    state: .ready,
                    group: "workers",
                    message: Message(text: "\(turn)", key: "key-\(key)"),
                    // A key holds itself while its first message is tried again: those behind it have had no attempt.
                    attempts: turn == 0 ? 1 : 0
                )
            }
        }
        for outcome in try await transfer.restore(messages, to: stage.name) {
            guard case .accepted = outcome else { throw ConformanceFailure("restoring said \(outcome)") }
        }
        let consumer = try await stage.consumer()
        var next: [String: Int] = [:]
        // The schedule may be due before the others are through; it goes to its own key.
        for _ in 0...(keys * turns) {
            let delivery = try await stage.takeOne(from: consumer)
            if delivery.message.key == "s" {
                try expect(harness.now - start >= later - .milliseconds(5), "what was scheduled came early")
                try expectEqual(delivery.message.text, "scheduled", "what was scheduled")
            } else {
                let key = delivery.message.key ?? ""
                let turn = next[key, default: 0]
                try expectEqual(delivery.message.text, "\(turn)", "the turn of \(key)")
                try expectEqual(delivery.attempt, turn == 0 ? 2 : 1, "the attempt of what was written in")
                next[key] = turn + 1
            }
            try await consumer.acknowledge(delivery)
        }
        try await transfer.setIntake(isOpen: true, of: stage.name)
        try await stage.publish([Message(text: "after", key: "key-0")])
        let last = try await stage.takeOne(from: consumer)
        try expectEqual(last.message.text, "after", "what came after opening")
        try await consumer.acknowledge(last)
        try await stage.expectNothing(consumer)
    }
}

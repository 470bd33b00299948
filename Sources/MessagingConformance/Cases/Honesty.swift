import Messaging

extension Conformance {
    static let honesty: [ConformanceCase] = [honest, arrived]

    private static let honest = ConformanceCase(
        "cap.honest",
        .figures,
        "what is claimed works, and what is not claimed is refused as unsupported and changes nothing"
    ) { harness in
        let queue = try await harness.makeQueue()
        let capabilities = try await queue.capabilities()
        for feature in Capabilities.Feature.allCases {
            do {
                switch capabilities[feature] {
                case .native: try await FeatureProbe(harness).works(feature)
                case .emulated(let how):
                    try expect(!how.isEmpty, "it does not say how it is emulated")
                    try await FeatureProbe(harness).works(feature)
                case .unavailable(let reason):
                    try expect(!reason.isEmpty, "it does not say why it is unavailable")
                    try await FeatureProbe(harness).isRefused(feature)
                    try await FeatureProbe(harness).isRefusedUnseen(feature)
                }
            } catch {
                throw ConformanceFailure("\(feature), which is said to be \(capabilities[feature]): \(error)")
            }
        }
    }

    private static let arrived = ConformanceCase(
        "stats.arrived",
        .figures,
        "what has arrived counts every message that became available once, whatever becomes of it"
    ) { harness in
        let stage = try await Stage(harness)
        guard case .exact = try await stage.queue.statistics(of: stage.name).arrived.grade else {
            throw NotPossible("the backend does not count exactly what has arrived")
        }
        func expectArrived(_ expected: Int, _ when: String) async throws {
            let end = harness.now + harness.tolerance
            while true {
                let found = try await stage.queue.statistics(of: stage.name).arrived.value
                if found == expected { return }
                try expect(harness.now < end, "\(when) \(found ?? -1) have arrived, expected \(expected)")
                try await harness.advance(by: stage.step)
            }
        }
        let consumer = try await stage.consumer()
        try await expectArrived(0, "at first")
        let messages = try await stage.publish(10)
        try await expectArrived(10, "after 10 were published")
        let capabilities = try await stage.queue.capabilities()
        if capabilities[.deduplication].isAvailable {
            _ = try await stage.queue.publish(Array(messages.prefix(3)), to: stage.name)
            try await expectArrived(10, "after 3 were published again")
        }
        _ = try await stage.queue.publish([Message(text: "x", id: "")], to: stage.name)
        try await expectArrived(10, "after one was refused")
        let taken = try await stage.take(10, from: consumer)
        try await stage.settle(Array(taken.prefix(6)), by: consumer)
        try await stage.settle(Array(taken[6..<8]), by: consumer, .release)
        try await stage.settle(Array(taken[8...]), by: consumer, .discard)
        try await expectArrived(10, "after they were handled")
        try await stage.settle(try await stage.take(2, from: consumer), by: consumer)
        var count = 10
        if capabilities[.delay].isAvailable {
            try await stage.publish([Message(text: "later", due: .after(stage.unit * 2))])
            try await expectArrived(count, "before the time of one has come")
            let later = try await stage.takeOne(from: consumer)
            count += 1
            try await expectArrived(count, "after its time has come")
            try await consumer.acknowledge(later)
        }
        try await stage.expectNothing(consumer)
        try await expectArrived(count + 1, "after the sentinel")
    }
}

import Messaging

extension Mutants {
    static let answers: [Mutant] = [
        Mutant(
            "replay-from-what-is-left",
            "a replay from a time that has been trimmed begins wherever it can",
            killedBy: ["group.trimmed"]
        ) {
            $0.changeDefinitions { definition in
                for index in definition.groups.indices {
                    if case .at = definition.groups[index].start { definition.groups[index].start = .earliest }
                }
            }
        },
        Mutant(
            "deletion-forgets-consumers",
            "a consumer of a deleted queue waits for ever for what cannot come",
            killedBy: ["group.deleted"]
        ) {
            $0.onReceive = { consumer, max, wait throws(QueueError) in
                do throws(QueueError) {
                    return try await consumer.base.receive(max: max, wait: wait)
                } catch {
                    guard error.code == .topologyLost || error.code == .notFound else { throw error }
                }
                do { try await Task.sleep(for: wait) } catch { throw QueueError(.cancelled, "cancelled") }
                return []
            }
        },
        Mutant("busy-wait", "a consumer that waits asks again and again", killedBy: ["life.idle"]) {
            $0.onReceive = { consumer, max, wait throws(QueueError) in
                let end = ContinuousClock.now + wait
                while true {
                    let taken = try await consumer.base.receive(max: max, wait: .zero)
                    if !taken.isEmpty || ContinuousClock.now >= end { return taken }
                    await Task.yield()
                }
            }
        },
        Mutant("slow-to-wake", "a consumer that waits looks once in a while", killedBy: ["life.idle"]) {
            $0.onReceive = { consumer, max, wait throws(QueueError) in
                let end = ContinuousClock.now + wait
                while true {
                    let taken = try await consumer.base.receive(max: max, wait: .zero)
                    if !taken.isEmpty || ContinuousClock.now >= end { return taken }
                    do { try await Task.sleep(for: .milliseconds(1200)) } catch { return [] }
                }
            }
        },
        Mutant(
            "settled-is-lost",
            "what was settled before is answered as if its lease had run out",
            killedBy: ["fake.same"]
        ) {
            $0.onSettle = { consumer, requests throws(QueueError) in
                try await consumer.base.settle(requests).map { outcome in
                    if case .alreadySettled = outcome { .leaseLost } else { outcome }
                }
            }
        },
    ]
}

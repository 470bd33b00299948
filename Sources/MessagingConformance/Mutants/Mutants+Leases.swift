import Messaging

extension Mutants {
    static let leases: [Mutant] = [
        // Long leases stay, so that no definition differs.
        Mutant("lease-short", "a short lease ends at half its time", killedBy: ["lease.expiry"]) {
            $0.changeDefinitions { definition in
                for index in definition.groups.indices where definition.groups[index].lease < .seconds(5) {
                    definition.groups[index].lease /= 2
                }
            }
        },
        // The addition leaves the last digits, and `definition` undoes it, so that a conflict still names the settings.
        Mutant(
            "lease-for-ever",
            "what is held never comes to another consumer",
            killedBy: ["lease.expiry", "lease.extend", "lease.fence", "lease.maxAttempts"]
        ) {
            let more = Duration.seconds(1_000_000)
            $0.changeDefinitions { for index in $0.groups.indices { $0.groups[index].lease += more } }
            $0.onDefinition = { definition in
                var definition = definition
                for index in definition.groups.indices { definition.groups[index].lease -= more }
                return definition
            }
        },
        Mutant(
            "renew-does-nothing",
            "renewing changes nothing and says true",
            killedBy: ["lease.extend", "lease.prefetchAging"]
        ) {
            $0.onRenew = { _, receipts in receipts.map { _ in true } }
        },
        Mutant("renew-says-true", "renewing a lost lease says true", killedBy: ["lease.extend"]) {
            $0.onRenew = { consumer, receipts throws(QueueError) in
                try await consumer.base.renew(receipts).map { _ in true }
            }
        },
        Mutant("renew-says-false", "renewing what is held says false", killedBy: ["lease.extend"]) {
            $0.onRenew = { consumer, receipts throws(QueueError) in
                try await consumer.base.renew(receipts).map { _ in false }
            }
        },
        Mutant("lost-called-settled", "settling a lost lease says settled", killedBy: ["lease.fence"]) {
            $0.changeSettleOutcomes { if case .leaseLost = $0 { .settled } else { $0 } }
        },
        Mutant("settle-unfenced", "a settlement that lost its lease ends the next delivery", killedBy: ["lease.fence"])
        {
            $0.onSettle = { consumer, requests throws(QueueError) in
                var outcomes = try await consumer.base.settle(requests)
                for (index, request) in requests.enumerated() {
                    guard case .leaseLost = outcomes[index] else { continue }
                    let id = consumer.notes.delivery(request.receipt)?.message.id
                    for other in consumer.client.notes.consumers {
                        guard let held = other.notes.deliveries.last(where: { $0.message.id == id }) else { continue }
                        let settled = try await other.base.settle([SettleRequest(held.receipt, request.settlement)])
                        if case .settled? = settled.first { outcomes[index] = .settled }
                    }
                }
                return outcomes
            }
        },
        Mutant("settle-unfenced-silently", "a late acknowledgement says lost and counts", killedBy: ["lease.fence"]) {
            $0.onSettle = { consumer, requests throws(QueueError) in
                let outcomes = try await consumer.base.settle(requests)
                for (index, request) in requests.enumerated() where request.settlement == .acknowledge {
                    guard case .leaseLost = outcomes[index] else { continue }
                    let id = consumer.notes.delivery(request.receipt)?.message.id
                    for other in consumer.client.notes.consumers {
                        guard let held = other.notes.deliveries.last(where: { $0.message.id == id }) else { continue }
                        _ = try await other.base.settle([SettleRequest(held.receipt, .acknowledge)])
                    }
                }
                return outcomes
            }
        },
        Mutant("settle-by-anyone", "a consumer may settle what another one holds", killedBy: ["lease.fence"]) {
            $0.onSettle = { consumer, requests throws(QueueError) in
                var outcomes = try await consumer.base.settle(requests)
                for (index, request) in requests.enumerated() {
                    guard case .leaseLost = outcomes[index] else { continue }
                    for other in consumer.client.notes.consumers {
                        guard other.notes.delivery(request.receipt) != nil else { continue }
                        outcomes[index] = try await other.base.settle([request]).first ?? .leaseLost
                    }
                }
                return outcomes
            }
        },
        Mutant(
            "poison-for-ever",
            "a message that is never settled is delivered for ever",
            killedBy: ["lease.maxAttempts", "dlq.reason"]
        ) {
            $0.changeDefinitions { for index in $0.groups.indices { $0.groups[index].maxAttempts += 1000 } }
            $0.onDefinition = { definition in
                var definition = definition
                for index in definition.groups.indices { definition.groups[index].maxAttempts -= 1000 }
                return definition
            }
        },
        Mutant(
            "one-attempt-less",
            "a message is given up one attempt too early",
            killedBy: ["lease.maxAttempts", "dlq.reason"]
        ) {
            $0.changeDefinitions { definition in
                for index in definition.groups.indices where definition.groups[index].maxAttempts == 3 {
                    definition.groups[index].maxAttempts = 2
                }
            }
        },
        Mutant("late-reject-settled", "rejecting a lost lease says settled", killedBy: ["lease.fence"]) {
            $0.onSettle = { consumer, requests throws(QueueError) in
                var outcomes = try await consumer.base.settle(requests)
                for (index, request) in requests.enumerated() {
                    if case .leaseLost = outcomes[index], case .reject = request.settlement {
                        outcomes[index] = .settled
                    }
                }
                return outcomes
            }
        },
        Mutant("renew-by-anyone", "a consumer may renew what another one holds", killedBy: ["lease.extend"]) {
            $0.onRenew = { consumer, receipts throws(QueueError) in
                var renewed = try await consumer.base.renew(receipts)
                for other in consumer.client.notes.consumers where other.name != consumer.name {
                    let also = (try? await other.base.renew(receipts)) ?? []
                    for index in also.indices where also[index] { renewed[index] = true }
                }
                return renewed
            }
        },
        Mutant("renew-first-only", "of several leases the first alone is renewed", killedBy: ["lease.prefetchAging"]) {
            $0.onRenew = { consumer, receipts throws(QueueError) in
                let first = try await consumer.base.renew(Array(receipts.prefix(1)))
                return first + receipts.dropFirst().map { _ in true }
            }
        },
    ]
}

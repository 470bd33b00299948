import Messaging
import Synchronization

extension Mutants {
    static let deadLetters: [Mutant] = [
        Mutant("letter-without-reason", "a dead letter does not say why", killedBy: ["dlq.reason", "dlq.poison"]) {
            $0.changeLetters { $0.reason = DeadLetterReason(rawValue: "unknown") }
        },
        Mutant("letter-without-error", "a dead letter has no error", killedBy: ["dlq.poison"]) {
            $0.changeLetters { $0.error = nil }
        },
        Mutant(
            "letter-without-history",
            "a dead letter does not say how it failed",
            killedBy: ["dlq.reason", "dlq.redrive"]
        ) {
            $0.changeLetters { $0.history = [] }
        },
        Mutant("letter-without-group", "a dead letter names no group", killedBy: ["dlq.reason", "lease.maxAttempts"]) {
            $0.changeLetters { $0.group = nil }
        },
        Mutant("letter-without-time", "a dead letter does not say when it failed", killedBy: ["dlq.reason"]) {
            $0.changeLetters { $0.hasTime = false }
        },
        Mutant("letter-body-changed", "a dead letter keeps its body as text", killedBy: ["dlq.reason"]) {
            $0.changeLetters { $0.message.body = Array(String(decoding: $0.message.body, as: UTF8.self).utf8) }
        },
        Mutant(
            "letter-attempts-off",
            "a dead letter counts one attempt too few",
            killedBy: ["dlq.reason", "dlq.poison", "lease.maxAttempts"]
        ) {
            $0.changeLetters { $0.attempts -= 1 }
        },
        Mutant(
            "reject-loses",
            "what is rejected is gone",
            killedBy: ["dlq.poison", "dlq.inspect", "dlq.discard", "order.keyDead", "stats.model"]
        ) {
            $0.changeSettlements { if case .reject = $0 { .discard } else { $0 } }
        },
        Mutant("reject-retries", "what is rejected is tried again", killedBy: ["dlq.poison", "order.keyDead"]) {
            $0.changeSettlements {
                if case .reject(_, let error) = $0 { .retry(after: .zero, error: error) } else { $0 }
            }
        },
        Mutant("reject-error-dropped", "the error of a rejection is not kept", killedBy: ["dlq.poison", "dlq.inspect"])
        {
            $0.changeSettlements {
                if case .reject(let reason, _) = $0 { .reject(reason: reason, error: nil) } else { $0 }
            }
        },
        Mutant("listing-redrives", "listing dead letters sends them again", killedBy: ["dlq.inspect"]) {
            $0.onDeadLetters = { base, query throws(QueueError) in
                let page = try await base.letters(query)
                _ = try await base.redrive(page.elements.map(\.id), of: query.queue)
                return page
            }
        },
        Mutant("pages-lose", "the last dead letter of a page is missing", killedBy: ["dlq.inspect"]) {
            $0.onDeadLetters = { base, query throws(QueueError) in
                let page = try await base.letters(query)
                return page.next == nil ? page : Page(page.elements.dropLast(), next: page.next)
            }
        },
        Mutant("filter-ignored", "a filter lists all dead letters", killedBy: ["dlq.inspect", "dlq.redrive"]) {
            $0.onDeadLetters = { base, query throws(QueueError) in
                try await base.deadLetters(of: query.queue, matching: .all, after: query.after, limit: query.limit)
            }
        },
        Mutant("filter-by-case", "a filter tells capital letters from small ones", killedBy: ["dlq.inspect"]) {
            $0.onDeadLetters = { base, query throws(QueueError) in
                let page = try await base.letters(query)
                guard let text = query.filter.errorContains else { return page }
                return Page(page.elements.filter { $0.error?.contains(text) ?? false }, next: page.next)
            }
        },
        Mutant("redrive-to-all-groups", "a redriven message comes to every group", killedBy: ["dlq.redrive"]) {
            $0.onRedrive = { base, ids, queue throws(QueueError) in
                let letters = try await base.allLetters(of: queue).filter { ids.contains($0.id) }
                _ = try await base.discardDeadLetters(letters.map(\.id), of: queue)
                _ = try await base.publish(letters.map { $0.message.copy() }, to: queue)
                return letters.map(\.id)
            }
        },
        Mutant("redrive-loses", "a redriven message is gone", killedBy: ["dlq.redrive", "stats.model"]) {
            $0.onRedrive = { base, ids, queue throws(QueueError) in
                try await base.discardDeadLetters(ids, of: queue)
            }
        },
        Mutant("redrive-says-all", "redriving names what it did not send", killedBy: ["dlq.redrive", "dlq.discard"]) {
            $0.onRedrive = { base, ids, queue throws(QueueError) in
                _ = try await base.redrive(ids, of: queue)
                return ids
            }
        },
        Mutant("redrive-keeps-attempt", "a redriven message goes on counting attempts", killedBy: ["dlq.redrive"]) {
            $0.changeDeliveries { if $0.redrives > 0 { $0.attempt += $0.history.count } }
        },
        Mutant("redrive-forgets-history", "a redriven message has no history", killedBy: ["dlq.redrive"]) {
            $0.changeDeliveries { if $0.redrives > 0 { $0.history = [] } }
        },
        Mutant("redrives-uncounted", "a delivery does not say how often it was redriven", killedBy: ["dlq.redrive"]) {
            $0.changeDeliveries { $0.redrives = 0 }
        },
        Mutant("discard-takes-all", "discarding some dead letters removes all", killedBy: ["dlq.discard"]) {
            $0.onDiscard = { base, ids, queue throws(QueueError) in
                let all = try await base.allLetters(of: queue).map(\.id)
                return try await base.discardDeadLetters(all, of: queue).filter(ids.contains)
            }
        },
        Mutant("discard-forgotten", "discarded dead letters stay", killedBy: ["dlq.discard", "stats.model"]) {
            $0.onDiscard = { base, ids, queue throws(QueueError) in
                try await base.allLetters(of: queue).map(\.id).filter(ids.contains)
            }
        },
        Mutant("discard-says-all", "discarding names what was not there", killedBy: ["dlq.discard"]) {
            $0.onDiscard = { base, ids, queue throws(QueueError) in
                _ = try await base.discardDeadLetters(ids, of: queue)
                return ids
            }
        },
        Mutant("letters-unsorted", "dead letters are not listed oldest first", killedBy: ["dlq.discard"]) {
            $0.onDeadLetters = { base, query throws(QueueError) in
                let page = try await base.letters(query)
                return Page(page.elements.reversed(), next: page.next)
            }
        },
        Mutant(
            "letter-due-dropped",
            "a dead letter of a scheduled message loses its time",
            killedBy: ["schedule.deliver"]
        ) {
            $0.changeLetters { $0.message.due = nil }
        },
        Mutant("letter-error-cut", "the error of a rejection is cut after 20 characters", killedBy: ["dlq.poison"]) {
            $0.changeSettlements {
                if case .reject(let reason, let error) = $0 {
                    .reject(reason: reason, error: error.map { String($0.prefix(20)) })
                } else {
                    $0
                }
            }
        },
        Mutant("cursor-counts", "a cursor is a number of dead letters, whatever went meanwhile", killedBy: ["dlq.page"])
        {
            $0.onDeadLetters = { base, query throws(QueueError) in
                let all = try await base.allLetters(of: query.queue).filter(query.filter.matches)
                let start = query.after.flatMap(Int.init) ?? 0
                let end = start + query.limit
                return Page(Array(all.dropFirst(start).prefix(query.limit)), next: end < all.count ? "\(end)" : nil)
            }
        },
        Mutant("pages-overlap", "a page begins with the last dead letter of the one before", killedBy: ["dlq.page"]) {
            let last = Mutex<[String: DeadLetter]>([:])
            $0.onDeadLetters = { base, query throws(QueueError) in
                let page = try await base.letters(query)
                if let next = page.next, let letter = page.elements.last { last.withLock { $0[next] = letter } }
                let before = query.after.flatMap { after in last.withLock { $0[after] } }
                return Page((before.map { [$0] } ?? []) + page.elements, next: page.next)
            }
        },
        Mutant(
            "redrive-takes-all",
            "redriving some dead letters sends all",
            killedBy: ["dlq.redriveFilter", "dlq.redrive", "dlq.page"]
        ) {
            $0.onRedrive = { base, ids, queue throws(QueueError) in
                let all = try await base.allLetters(of: queue).map(\.id)
                return try await base.redrive(all, of: queue).filter(ids.contains)
            }
        },
    ]
}

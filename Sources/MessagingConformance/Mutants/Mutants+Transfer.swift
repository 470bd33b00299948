import Messaging

#if canImport(FoundationEssentials)
import FoundationEssentials
#else
import Foundation
#endif

extension Mutants {
    static let transfer: [Mutant] = [
        Mutant("survey-without-history", "what is stored has no history", killedBy: ["transfer.survey"]) {
            $0.changeStored { $0.history = [] }
        },
        Mutant("survey-without-headers", "what is stored has no headers", killedBy: ["transfer.survey"]) {
            $0.changeStored { $0.message.headers = [:] }
        },
        Mutant("survey-without-due", "what is stored says nothing of its time", killedBy: ["transfer.survey"]) {
            $0.changeStored { $0.due = nil }
        },
        Mutant("survey-attempts-off", "what is stored has one attempt more", killedBy: ["transfer.survey"]) {
            $0.changeStored { $0.attempts += 1 }
        },
        Mutant("survey-reserves", "looking takes out of reach", killedBy: ["transfer.survey"]) {
            $0.changeTransfer {
                $0.onStored = { base, query throws(QueueError) in
                    let page = try await base.stored(query)
                    _ = try await base.reserve(page.elements.map(\.id), of: query.queue)
                    return page
                }
            }
        },
        Mutant("survey-by-offset", "a page begins at a number of messages", killedBy: ["transfer.pages"]) {
            $0.changeTransfer {
                $0.onStored = { base, query throws(QueueError) in
                    let start = query.after.flatMap { Int($0) } ?? 0
                    let all = try await base.everything(query)
                    let page = Array(all.dropFirst(start).prefix(query.limit))
                    let end = start + page.count
                    return Page(page, next: end < all.count ? "\(end)" : nil)
                }
            }
        },
        Mutant("reserve-does-nothing", "what is reserved stays where it is", killedBy: ["transfer.reserve"]) {
            $0.changeTransfer { $0.onReserve = { _, ids, _ throws(QueueError) in ids } }
        },
        Mutant("reserve-removes", "what is reserved is gone", killedBy: ["transfer.reserve", "transfer.putBack"]) {
            $0.changeTransfer {
                $0.onReserve = { base, ids, queue throws(QueueError) in
                    try await base.removeReserved(try await base.reserve(ids, of: queue), of: queue)
                }
            }
        },
        Mutant("reserve-once", "reserving again says that nothing is there", killedBy: ["transfer.reserve"]) {
            $0.changeTransfer {
                $0.onReserve = { base, ids, queue throws(QueueError) in
                    let before = try await base.everything(TransferQuery(queue: queue, state: .reserved)).map(\.id)
                    return try await base.reserve(ids, of: queue).filter { !before.contains($0) }
                }
            }
        },
        Mutant("put-back-loses", "what is put back is gone", killedBy: ["transfer.putBack"]) {
            $0.changeTransfer {
                $0.onPutBack = { base, ids, queue throws(QueueError) in
                    try await base.removeReserved(ids, of: queue)
                }
            }
        },
        Mutant("remove-puts-back", "what is removed comes back", killedBy: ["transfer.reserve"]) {
            $0.changeTransfer {
                $0.onRemove = { base, ids, queue throws(QueueError) in try await base.putBack(ids, of: queue) }
            }
        },
        Mutant("restore-to-all-groups", "what is written in comes to every group", killedBy: ["transfer.restore"]) {
            $0.changeRestored { if $0.death == nil { $0.group = nil } }
        },
        Mutant("restore-begins-anew", "what is written in begins anew", killedBy: ["transfer.restore"]) {
            $0.changeRestored { ($0.attempts, $0.history) = (0, []) }
        },
        Mutant("restore-early", "what is written in comes before its time", killedBy: ["transfer.later"]) {
            $0.changeRestored { $0.due = nil }
        },
        Mutant("restore-revives", "a dead letter that is written in is tried again", killedBy: ["transfer.restore"]) {
            $0.changeRestored { if $0.state == .dead { ($0.state, $0.death) = (.ready, nil) } }
        },
        Mutant("restore-twice", "what is written in twice is there twice", killedBy: ["transfer.once"]) {
            $0.changeRestored { $0.id += "-\(MessageID.make())" }
        },
        Mutant("restore-reversed", "what is written in together is in the wrong order", killedBy: ["transfer.keyed"]) {
            $0.changeTransfer { $0.reversesRestored = true }
        },
        Mutant("restored-for-ever", "what was restored is never forgotten", killedBy: ["transfer.once"]) {
            $0.changeTransfer { $0.onForget = { _, _ throws(QueueError) in } }
        },
        Mutant("intake-stays-open", "a closed queue takes publications", killedBy: ["transfer.intake"]) {
            $0.changeTransfer { $0.onIntake = { _, _, _ throws(QueueError) in } }
        },
        Mutant("intake-for-good", "a closed queue cannot be opened", killedBy: ["transfer.intake"]) {
            $0.changeTransfer {
                $0.onIntake = { base, _, queue throws(QueueError) in try await base.setIntake(isOpen: false, of: queue)
                }
            }
        },
        Mutant("remember-nothing", "carried ids are not known", killedBy: ["transfer.remember"]) {
            $0.changeTransfer { $0.onRemember = { _, _, _ throws(QueueError) in } }
        },
        Mutant("remember-for-ever", "carried ids are known after their time", killedBy: ["transfer.remember"]) {
            $0.changeTransfer {
                $0.onRemember = { base, ids, queue throws(QueueError) in
                    let longer = ids.map { RememberedID(id: $0.id, until: $0.until.addingTimeInterval(3600)) }
                    try await base.remember(longer, of: queue)
                }
            }
        },
    ]
}

/// Which page of stored messages is wanted.
struct TransferQuery: Sendable {
    let queue: String
    let state: StoredMessage.State
    var group: String?
    var after: String?
    var limit = 1000
}

/// A transfer with any of its operations replaced.
struct MutantTransfer: TransferDecorator {
    let base: any QueueTransfer

    typealias Change = @Sendable (any QueueTransfer, [String], String) async throws(QueueError) -> [String]

    var onStored: (@Sendable (any QueueTransfer, TransferQuery) async throws(QueueError) -> Page<StoredMessage>)?
    var onReserve: Change?
    var onPutBack: Change?
    var onRemove: Change?
    var onRestore: @Sendable (inout StoredMessage) -> Void = { _ in }
    /// Whether what is written in together is written from last to first.
    var reversesRestored = false
    var onForget: (@Sendable (any QueueTransfer, String) async throws(QueueError) -> Void)?
    var onIntake: (@Sendable (any QueueTransfer, Bool, String) async throws(QueueError) -> Void)?
    var onRemember: (@Sendable (any QueueTransfer, [RememberedID], String) async throws(QueueError) -> Void)?

    init(base: any QueueTransfer) { self.base = base }

    func stored(
        in queue: String,
        state: StoredMessage.State,
        group: String?,
        after: String?,
        limit: Int
    ) async throws(QueueError) -> Page<StoredMessage> {
        let query = TransferQuery(queue: queue, state: state, group: group, after: after, limit: limit)
        if let onStored { return try await onStored(base, query) }
        return try await base.stored(query)
    }

    func reserve(_ ids: [String], of queue: String) async throws(QueueError) -> [String] {
        if let onReserve { return try await onReserve(base, ids, queue) }
        return try await base.reserve(ids, of: queue)
    }

    func putBack(_ ids: [String], of queue: String) async throws(QueueError) -> [String] {
        if let onPutBack { return try await onPutBack(base, ids, queue) }
        return try await base.putBack(ids, of: queue)
    }

    func removeReserved(_ ids: [String], of queue: String) async throws(QueueError) -> [String] {
        if let onRemove { return try await onRemove(base, ids, queue) }
        return try await base.removeReserved(ids, of: queue)
    }

    func restore(_ messages: [StoredMessage], to queue: String) async throws(QueueError) -> [PublishOutcome] {
        var changed = messages
        for index in changed.indices { onRestore(&changed[index]) }
        if reversesRestored { return try await base.restore(changed.reversed(), to: queue).reversed() }
        return try await base.restore(changed, to: queue)
    }

    func forgetRestored(of queue: String) async throws(QueueError) {
        if let onForget { try await onForget(base, queue) } else { try await base.forgetRestored(of: queue) }
    }

    func setIntake(isOpen: Bool, of queue: String) async throws(QueueError) {
        if let onIntake {
            try await onIntake(base, isOpen, queue)
        } else {
            try await base.setIntake(isOpen: isOpen, of: queue)
        }
    }

    func remember(_ ids: [RememberedID], of queue: String) async throws(QueueError) {
        if let onRemember { try await onRemember(base, ids, queue) } else { try await base.remember(ids, of: queue) }
    }
}

extension MutantQueue {
    mutating func changeTransfer(_ change: @escaping @Sendable (inout MutantTransfer) -> Void) {
        onTransfer = { base in
            var transfer = MutantTransfer(base: base)
            change(&transfer)
            return transfer
        }
    }

    mutating func changeStored(_ change: @escaping @Sendable (inout StoredMessage) -> Void) {
        changeTransfer {
            $0.onStored = { base, query throws(QueueError) in
                let page = try await base.stored(query)
                var elements = page.elements
                for index in elements.indices { change(&elements[index]) }
                return Page(elements, next: page.next)
            }
        }
    }

    mutating func changeRestored(_ change: @escaping @Sendable (inout StoredMessage) -> Void) {
        changeTransfer { $0.onRestore = change }
    }
}

extension QueueTransfer {
    func stored(_ query: TransferQuery) async throws(QueueError) -> Page<StoredMessage> {
        try await stored(
            in: query.queue,
            state: query.state,
            group: query.group,
            after: query.after,
            limit: query.limit
        )
    }

    /// Everything in a state, as far as one page of a thousand holds it.
    func everything(_ query: TransferQuery) async throws(QueueError) -> [StoredMessage] {
        try await stored(TransferQuery(queue: query.queue, state: query.state, group: query.group)).elements
    }
}

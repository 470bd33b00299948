#if SQLite
import Messaging

#if canImport(FoundationEssentials)
import struct FoundationEssentials.Date
#else
import struct Foundation.Date
#endif

/// Carries messages from one side to the other: written down, reserved, written in, written down, removed.
///
/// A crash anywhere leaves each message on at least one side, and what is carried out again is recognised: by the name
/// under which it was written in, and by the journal.
struct Mover: Sendable {
    /// The most messages that are on their way at a time where a crash may double them.
    static let window = MigrationSide.window
    /// How often an answer that never came is asked for again before the move stops.
    private static let tries = 3

    /// How steps are left out or done in the wrong order, for the tests that prove what finds that.
    enum Fault: Sendable, CaseIterable {
        case removesBeforeConfirming, skipsReserving, dropsDue, makesNewIDs, forgetsAttempts, writesForEveryGroup
        case forgetsResuming, writesTwice
    }

    /// What a pass has done.
    struct Pass: Sendable {
        /// How many messages have gone over.
        var moved = 0
        /// How many could not go over now and can later.
        var deferred = 0
        /// What has left the old side, and is not written down as gone yet.
        var gone: [String] = []
        /// Why nothing of a page was taken.
        var failure: QueueError?
    }

    let journal: MigrationJournal
    let migration: Migration
    let from: MigrationSide
    let to: MigrationSide
    let pace: Pace
    let clock: QueueClock
    let failpoints: Failpoints
    /// The most messages that are on their way at a time where the new side recognises what was written in before.
    let page: Int
    var fault: Fault?
    /// Throws when this process no longer carries the migration out.
    let stillOurs: @Sendable () async throws -> Void

    var queue: String { migration.queue }

    // MARK: - Resuming

    /// Finishes what was on its way when somebody stopped: afterwards nothing is reserved and no intent is open.
    func resume() async throws {
        var pages = try from.pages(.reserved, of: queue, group: nil, size: Self.window)
        while fault != .forgetsResuming, let page = try await pages.next() { try await resume(page) }
        // What was not reserved is where it was; a delivery that was not settled comes again.
        try await closeAll(.intent, as: .left, .cancel)
        try await finishDone()
    }

    private func resume(_ page: [StoredMessage]) async throws {
        try await stillOurs()
        let intents = Dictionary(page.map { ($0.id, Intent($0, migration)) }, uniquingKeysWith: { $1 })
        let known = try await journal.intents(named: intents.values.map(\.id), of: migration)
        var carried: [StoredMessage] = []
        var removable: [Intent] = []
        var foreign: [String] = []
        for stored in page {
            guard let intent = intents[stored.id] else { continue }
            switch known[intent.id] {
            case .intent, .removed: carried.append(stored)
            case .done: removable.append(intent)
            // Nobody meant to move it, or no longer.
            case .left, .refused, nil: foreign.append(stored.id)
            }
        }
        if !foreign.isEmpty {
            _ = try await failpoints.around(.putBack) { [foreign] in
                try await from.transfer().putBack(foreign, of: queue)
            }
        }
        try await remove(removable)
        try await close(removable.map(\.id))
        // They may have been written in before.
        try await journal.tryAgain(carried.map { Intent($0, migration).id }, of: migration)
        try await close(carry(carried).gone)
    }

    /// Closes what went over and is no longer reserved: it was removed, or others settle its delivery.
    private func finishDone() async throws {
        if fault != .forgetsResuming { try await closeAll(.done, as: .removed, .removed) }
    }

    private func closeAll(
        _ state: Intent.State,
        as end: Intent.State,
        _ effect: Failpoint.Effect
    ) async throws {
        var open = try await journal.intents(of: migration, in: [state])
        while !open.isEmpty {
            let names = open.map(\.id)
            // What was meant may have been written in, and what was written in may be on the old side still.
            try await journal.tryAgain(names, of: migration)
            try await failpoints.around(effect) { try await journal.mark(names, end, of: migration) }
            open = try await journal.intents(of: migration, in: [state])
        }
    }

    /// The most messages that are on their way at a time; who goes slowly on purpose takes what one second has room for.
    func most() async throws -> Int {
        let most = try await isRecognised() ? page : min(page, Self.window)
        return pace.perSecond.map { max(1, min(most, Self.window, $0)) } ?? most
    }

    /// Whether the new side recognises what was written in before, by whomever.
    func isRecognised() async throws -> Bool { try await to.transfer().limits().restoresAgain == nil }

    // MARK: - What waits, is scheduled or dead

    /// Carries over what is in one state.
    func move(_ state: StoredMessage.State, group: String?, onlyGroup: String?) async throws -> Pass {
        var pass = Pass()
        var pages = try from.pages(state, of: queue, group: group, size: try await most())
        while let page = try await pages.next() {
            guard !page.isEmpty else { continue }
            let done = try await move(page.map { adopted($0, onlyGroup) }, onlyGroup, after: pass.gone)
            pass.moved += done.moved
            pass.deferred += done.deferred
            pass.gone = done.gone
            try await pace.wait(after: done.moved)
        }
        try await close(pass.gone)
        return pass
    }

    /// What left the old side before is written down with what comes now.
    private func move(_ page: [StoredMessage], _ onlyGroup: String?, after gone: [String]) async throws -> Pass {
        try await stillOurs()
        let planned = page.map { Intent($0, migration) }
        try await intend(planned, after: gone)
        let ids = page.map(\.id)
        let reserved = try await failpoints.around(.reserve) {
            fault == .skipsReserving ? ids : try await from.transfer().reserve(ids, of: queue)
        }
        let taken = fault == .skipsReserving ? page : try await contents(of: Set(reserved), onlyGroup)
        let now = taken.map { Intent($0, migration) }
        // What has changed since it was listed has another name now; what was handled meanwhile is gone.
        let names = Set(now.map(\.id))
        try await journal.mark(planned.map(\.id).filter { !names.contains($0) }, .left, of: migration)
        let expected = Set(planned.map(\.id))
        let changed = now.filter { !expected.contains($0.id) }
        if !changed.isEmpty {
            try await intend(changed)
        }
        var pass = try await carry(taken)
        pass.deferred += page.count - taken.count
        return pass
    }

    /// What was reserved, as it is now that nobody else can change it.
    private func contents(of reserved: Set<String>, _ onlyGroup: String?) async throws -> [StoredMessage] {
        var found: [StoredMessage] = []
        var pages = try from.pages(.reserved, of: queue, group: nil, size: 1000)
        while let page = try await pages.next() {
            found += page.filter { reserved.contains($0.id) }.map { adopted($0, onlyGroup) }
        }
        return found
    }

    /// A dead letter that names no group becomes one of the only group.
    private func adopted(_ stored: StoredMessage, _ onlyGroup: String?) -> StoredMessage {
        guard stored.state == .dead, stored.group == nil else { return stored }
        var result = stored
        result.group = onlyGroup
        return result
    }

    /// Writes reserved messages in on the new side, and removes them from the old one.
    private func carry(_ messages: [StoredMessage]) async throws -> Pass {
        guard !messages.isEmpty else { return Pass() }
        let intents = messages.map { Intent($0, migration) }
        if fault == .removesBeforeConfirming { try await remove(intents) }
        let restored = zip(messages, intents).map { renamed($0, $1) }
        let outcomes = try await restore(restored)
        var confirmed: [Intent] = []
        var later: [Intent] = []
        var refused: [(intent: Intent, reason: String)] = []
        var unknown: QueueError?
        for (intent, outcome) in zip(intents, outcomes) {
            switch outcome {
            case .accepted, .duplicate: confirmed.append(intent)
            case .refused(let error) where error.isRetryable: later.append(intent)
            case .refused(let error): refused.append((intent, error.message))
            // It stays reserved and meant to go over, because it may have arrived.
            case .indeterminate(let error): unknown = unknown ?? error
            }
        }
        let names = confirmed.map(\.id)
        try await failpoints.around(.done) { try await journal.mark(names, .done, of: migration) }
        let back = later + refused.map(\.intent)
        if !back.isEmpty {
            let sources = back.map(\.sourceID)
            _ = try await failpoints.around(.putBack) { try await from.transfer().putBack(sources, of: queue) }
            try await journal.mark(later.map(\.id), .left, of: migration)
            for (intent, reason) in refused {
                try await journal.mark([intent.id], .refused, reason: reason, of: migration)
            }
        }
        try await remove(confirmed)
        if let unknown {
            try await close(names)
            throw unknown
        }
        return Pass(moved: confirmed.count, deferred: later.count, gone: names)
    }

    private func intend(_ intents: [Intent], after gone: [String] = []) async throws {
        let write = { () async throws in
            try await failpoints.around(.intend) {
                try await journal.intend(intents, removed: gone, of: migration)
            }
        }
        if gone.isEmpty { try await write() } else { try await failpoints.around(.removed, write) }
    }

    /// Writes down that messages have left the old side.
    func close(_ gone: [String]) async throws {
        guard !gone.isEmpty else { return }
        try await failpoints.around(.removed) { try await journal.mark(gone, .removed, of: migration) }
    }

    func renamed(_ stored: StoredMessage, _ intent: Intent) -> StoredMessage {
        var result = stored
        result.id = intent.id
        switch fault {
        case .dropsDue: result.due = nil
        case .makesNewIDs: result.message.id = .make()
        case .forgetsAttempts: (result.attempts, result.history) = (0, [])
        case .writesForEveryGroup where result.state == .waiting:
            (result.group, result.state) = (nil, .scheduled)
        default: break
        }
        return result
    }

    /// Writes messages in; asks again where the answer never came, which the new side recognises.
    func restore(_ messages: [StoredMessage]) async throws -> [PublishOutcome] {
        try await failpoints.around(.restore) { try await restoreInTurns(messages) }
    }

    private func restoreInTurns(_ messages: [StoredMessage]) async throws -> [PublishOutcome] {
        let transfer = try to.transfer()
        var outcomes = try await transfer.restore(messages, to: queue)
        if fault == .writesTwice { _ = try await transfer.restore(messages, to: queue) }
        for _ in 1..<Self.tries {
            let unknown = outcomes.indices.filter { index in
                if case .indeterminate = outcomes[index] { true } else { false }
            }
            if unknown.isEmpty { break }
            try await journal.tryAgain(unknown.map { messages[$0].id }, of: migration)
            do throws(QueueError) {
                let again = try await transfer.restore(unknown.map { messages[$0] }, to: queue)
                for (index, outcome) in zip(unknown, again) { outcomes[index] = outcome }
            } catch {
                // What is known of the others counts.
                break
            }
        }
        return outcomes
    }

    private func remove(_ intents: [Intent]) async throws {
        guard !intents.isEmpty else { return }
        let sources = intents.map(\.sourceID)
        _ = try await failpoints.around(.remove) {
            if fault == .skipsReserving { _ = try await from.transfer().reserve(sources, of: queue) }
            return try await from.transfer().removeReserved(sources, of: queue)
        }
    }
}
#endif

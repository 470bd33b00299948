#if SQLite
import Messaging
import MessagingMigration
import Synchronization

#if canImport(FoundationEssentials)
import FoundationEssentials
#else
import Foundation
#endif

/// How plans and migrations are shown.
enum MigrationReport {
    private static let mostIDs = 20

    // MARK: - Plans

    static func lines(_ plan: MigrationPlan, _ terminal: Terminal) -> [String] {
        var lines = [terminal.styled("\(plan.queue): \(plan.from) → \(plan.to)", .bold), ""]
        for entry in plan.inventory.entries {
            let count = entry.count.map { entry.grade == "exact" ? "\($0)" : "~\($0)" } ?? "-"
            guard entry.count != 0 else { continue }
            let group = entry.group.map { " of group '\($0)'" } ?? ""
            let age = entry.oldest.map { ", the oldest \(Format.age(.seconds(plan.madeAt.timeIntervalSince($0)))) old" }
            let size = entry.bytes > 0 ? ", \(entry.bytes) bytes" : ""
            lines.append("    \(count) \(entry.state.rawValue)\(group)\(size)\(age ?? "")")
        }
        if plan.inventory.entries.allSatisfy({ $0.count == 0 }) { lines.append("    the queue is empty") }
        if let remembered = plan.inventory.remembered { lines.append("    \(remembered) remembered ids") }
        lines.append("")
        for item in plan.items { lines.append(line(item, terminal)) }
        lines.append("")
        let create = plan.items.count { $0.sign == .create }
        let moved = plan.items.count { $0.sign == .move }
        var summary =
            "Plan: \(create) to create, \(moved) to move, \(plan.losses.count) lossy, \(plan.blocked.count) blocked"
        if let seconds = plan.estimatedSeconds, moved > 0 {
            summary += "; about \(Format.age(.milliseconds(Int64(max(0, seconds) * 1000)))) to carry over"
        }
        lines.append(summary + ". Nothing was written.")
        return lines
    }

    private static func line(_ item: MigrationPlan.Item, _ terminal: Terminal) -> String {
        let (sign, style): (String, Terminal.Style?) =
            switch item.sign {
            case .create: ("+", .green)
            case .map: ("~", .yellow)
            case .lossy: ("!", .red)
            case .move: ("→", .green)
            case .blocked: ("✗", .red)
            case .note: ("·", .dim)
            }
        let name = item.sign == .lossy ? "\(item.name): " : ""
        let ids = item.ids.isEmpty ? "" : " (\(item.ids.prefix(3).joined(separator: ", "))…)"
        let text = Redacted.line("\(name)\(item.text)\(ids)")
        return "  \(style.map { terminal.styled(sign, $0) } ?? sign) \(text)"
    }

    static func members(_ plan: MigrationPlan) -> [(String, JSON)] {
        [
            ("queue", .string(plan.queue)), ("from", .string(plan.from)), ("to", .string(plan.to)),
            ("made_at", .string(Format.date(plan.madeAt))), ("settings", .string(plan.inventory.definition)),
            ("groups", .array(plan.inventory.groups.map { .string($0) })),
            ("inventory", .array(plan.inventory.entries.map(json))),
            ("remembered_ids", JSON(plan.inventory.remembered)),
            (
                "items",
                .array(
                    plan.items.map { item in
                        .object([
                            ("action", .string(item.sign.rawValue)), ("name", .string(item.name)),
                            ("text", .string(item.text)), ("ids", .array(item.ids.map { .string($0) })),
                        ])
                    }
                )
            ),
            ("blocked", .integer(plan.blocked.count)), ("lossy", .integer(plan.losses.count)),
            ("estimated_seconds", plan.estimatedSeconds.map { .seconds($0) } ?? .null),
        ]
    }

    private static func json(_ entry: Inventory.Entry) -> JSON {
        .object([
            ("state", .string(entry.state.rawValue)), ("group", JSON(entry.group)), ("count", JSON(entry.count)),
            ("grade", .string(entry.grade)), ("bytes", .integer(entry.bytes)),
            ("oldest", JSON(entry.oldest.map(Format.date))), ("latest_due", JSON(entry.latestDue.map(Format.date))),
            ("digest", JSON(entry.digest)),
        ])
    }

    // MARK: - Migrations

    static func words(_ migration: Migration) -> String {
        migration.isReversed ? "\(migration.state.rawValue) (back)" : migration.state.rawValue
    }

    static func members(_ migration: Migration) -> [(String, JSON)] {
        [
            ("id", .string(migration.id)), ("queue", .string(migration.queue)), ("from", .string(migration.from)),
            ("to", .string(migration.to)), ("state", .string(migration.state.rawValue)),
            ("is_rollback", .bool(migration.isReversed)), ("mode", .string(migration.mode.rawValue)),
            ("percent", .integer(migration.percent)), ("epoch", .integer(migration.epoch)),
            ("started_at", .string(Format.date(migration.startedAt))),
            ("changed_at", .string(Format.date(migration.changedAt))),
        ]
    }

    static func report(_ migration: Migration, moved: Int?, _ output: Output, note: String) throws {
        if output.isJSON {
            try output.document(members(migration) + (moved.map { [("carried", .integer($0))] } ?? []))
        } else {
            let carried = moved.map { ", \(Format.count($0, "message")) carried over by this call" } ?? ""
            try output.line("\(migration.queue): \(words(migration)) on \(migration.to)\(carried)")
        }
        output.note(note)
    }

    static func members(_ comparison: SetComparison) -> [(String, JSON)] {
        [
            ("matched", .integer(comparison.matched)),
            ("missing", .array(comparison.missing.map { .string($0) })),
            ("extra", .array(comparison.extra.map { .string($0) })),
            ("duplicate", .array(comparison.duplicate.map { .string($0) })),
            ("different", .array(comparison.different.map { .string($0) })),
        ]
    }

    static func members(_ found: MigrationVerification) -> [(String, JSON)] {
        members(found.carried) + [
            ("on_both_sides", .array(found.onBothSides.map { .string($0) })),
            (
                "left_behind",
                .object(
                    found.leftBehind.sorted { $0.key.rawValue < $1.key.rawValue }.map {
                        ($0.key.rawValue, .array($0.value.map { .string($0) }))
                    }
                )
            ),
            ("repeated", .array(found.repeated.map { .string($0) })),
            ("may_have_been_handled", .integer(found.unprovable)),
            (
                "refused",
                .array(found.refused.map { .object([("id", .string($0.id)), ("reason", .string($0.reason))]) })
            ),
        ]
    }

    static func tell(_ comparison: SetComparison, _ output: Output) {
        for (word, ids) in [
            ("missing", comparison.missing), ("extra", comparison.extra), ("duplicate", comparison.duplicate),
            ("different", comparison.different),
        ] where !ids.isEmpty {
            let more = ids.count > mostIDs ? " and \(ids.count - mostIDs) more" : ""
            output.error("\(ids.count) \(word): \(ids.prefix(mostIDs).joined(separator: ", "))\(more)")
        }
    }
}

/// Shows how far a migration is while it is carried out: a bar on a terminal, a line per step otherwise.
final class MigrationScreen: Sendable {
    private let output: Output
    private let state = Mutex((moved: 0, step: "", waiting: ""))

    init(_ output: Output) { self.output = output }

    /// How many messages have been carried over.
    var moved: Int { state.withLock { $0.moved } }

    func show(_ progress: MigrationProgress) {
        switch progress {
        case .step(let migration):
            let over = migration.state == .switching ? " \(migration.percent) %" : ""
            let step = "\(MigrationReport.words(migration))\(over)"
            state.withLock { ($0.step, $0.waiting) = (step, "") }
            output.progress(nil)
            output.note("\(migration.queue): \(step)")
        case .moved(let count): state.withLock { $0.moved = count }
        case .waiting(_, let obstacle):
            let isNew = state.withLock { state in
                defer { state.waiting = obstacle }
                return state.waiting != obstacle
            }
            if isNew { output.note("waiting: \(obstacle)") }
        }
        let (moved, step, _) = state.withLock { $0 }
        output.progress("\(bar(step)) \(step)  \(moved) carried over")
    }

    func end() { output.progress(nil) }

    /// How many of the states lie behind.
    private func bar(_ step: String) -> String {
        let word = step.split(separator: " ").first.map(String.init) ?? ""
        let states = MigrationState.allCases
        let done = MigrationState(rawValue: word).flatMap { states.firstIndex(of: $0) } ?? 0
        return "[" + String(repeating: "█", count: done) + String(repeating: "░", count: states.count - done) + "]"
    }
}
#endif

import Messaging

#if canImport(FoundationEssentials)
import FoundationEssentials
#else
import Foundation
#endif

/// What was found about one queue and its two sides; the planner decides from nothing else.
struct PlannerFacts {
    var queue: String
    var definition: QueueDefinition
    var inventory: Inventory
    var source: Capabilities
    var target: Capabilities
    /// What the target has under the queue's name.
    var existing: QueueDefinition?
    /// How many messages the target's queue holds.
    var existingMessages = 0
    var sourceTransfers: Bool
    var targetTransfers: Bool
    /// Messages that the target would refuse, with why, at most some.
    var refused: [(id: String, reason: String)] = []
    var refusedCount = 0
    /// Dead letters that name no group.
    var groupless: [String] = []
    /// States that could not be listed, with why.
    var unlisted: [(state: StoredMessage.State, reason: String)] = []
    var mode: MigrationMode
    /// What the target's transfer cannot do.
    var targetLimits = TransferLimits.none
}

/// Decides what has to happen for a queue to live on another backend.
enum Planner {
    /// The settings that the queue gets on the target: what the target cannot keep is left out, which the plan calls a
    /// loss.
    static func mapped(_ definition: QueueDefinition, on target: Capabilities) -> QueueDefinition {
        var result = definition
        if !target[.keyedOrder].isAvailable { result.ordering = .unordered }
        if !target[.boundedQueue].isAvailable { result.maxReady = nil }
        if !target[.replay].isAvailable { result.retention = .zero }
        // What is there was handled or is moved; a new group on the target has nothing to begin with.
        result.groups = definition.groups.map { GroupDefinition($0.name, lease: $0.lease, maxAttempts: $0.maxAttempts) }
        return result
    }

    static func items(_ facts: PlannerFacts) -> [MigrationPlan.Item] {
        blocked(facts) + topology(facts) + losses(facts) + notes(facts) + moves(facts)
    }

    private typealias Item = MigrationPlan.Item

    private static func blocked(_ facts: PlannerFacts) -> [Item] {
        var items: [Item] = []
        let (source, target) = (facts.source.system, facts.target.system)
        if !facts.sourceTransfers {
            items.append(Item(.blocked, "transfer", "the \(source) backend cannot hand over what a queue holds"))
        }
        if !facts.targetTransfers {
            items.append(Item(.blocked, "transfer", "the \(target) backend cannot take over what a queue holds"))
        }
        for feature in [Capabilities.Feature.transfer] {
            for side in [facts.source, facts.target] {
                if case .unavailable(let reason) = side[feature] {
                    items.append(Item(.blocked, "transfer", "\(side.system): \(reason)"))
                }
            }
        }
        let wanted = mapped(facts.definition, on: facts.target)
        if let existing = facts.existing {
            let differences = differences(existing, wanted)
            if !differences.isEmpty {
                items.append(
                    Item(
                        .blocked,
                        "topology",
                        "\(target) has a queue '\(facts.queue)' with other settings: "
                            + differences.joined(separator: ", ")
                    )
                )
            }
            if facts.existingMessages > 0 {
                items.append(
                    Item(
                        .blocked,
                        "not-empty",
                        "\(target) has a queue '\(facts.queue)' with \(facts.existingMessages) messages; empty it first"
                    )
                )
            }
        }
        if facts.definition.groups.count > 1, !facts.target[.fanOut].isAvailable {
            items.append(Item(.blocked, "fan-out", "\(target) cannot serve \(facts.definition.groups.count) groups"))
        }
        let later = (facts.inventory.count(.waiting) ?? 0) + (facts.inventory.count(.scheduled) ?? 0)
        if later > 0, !facts.target[.delay].isAvailable {
            items.append(Item(.blocked, "delay", "\(target) cannot keep \(later) messages for later"))
        }
        if let dead = facts.inventory.count(.dead), dead > 0, !facts.target[.deadLetters].isAvailable {
            items.append(Item(.blocked, "dead-letters", "\(target) cannot keep \(dead) dead letters"))
        }
        if facts.refusedCount > 0, let first = facts.refused.first {
            items.append(
                Item(
                    .blocked,
                    "messages",
                    "\(target) would refuse \(facts.refusedCount) messages, '\(first.id)' because \(first.reason)",
                    ids: facts.refused.map(\.id)
                )
            )
        }
        if !facts.groupless.isEmpty, facts.definition.groups.count != 1 {
            items.append(
                Item(
                    .blocked,
                    "groupless",
                    "\(facts.groupless.count) dead letters name no group; redrive or discard them first",
                    ids: facts.groupless
                )
            )
        }
        for (state, reason) in facts.unlisted where [.waiting, .scheduled, .dead].contains(state) {
            items.append(Item(.blocked, "listing", "what is \(state.rawValue) cannot be listed: \(reason)"))
        }
        if facts.definition.ordering == .keyed, facts.mode == .bridge {
            items.append(
                Item(
                    .blocked,
                    "ordered-bridge",
                    "a bridge would bring an ordered queue out of order; use the mode drain"
                )
            )
        }
        return items
    }

    /// How the settings differ; groups that the target lacks are created.
    private static func differences(_ existing: QueueDefinition, _ wanted: QueueDefinition) -> [String] {
        existing.differences(from: wanted)
            + wanted.groups.flatMap { group in
                existing.groups.first { $0.name == group.name }.map { $0.differences(from: group) } ?? []
            }
    }

    private static func topology(_ facts: PlannerFacts) -> [Item] {
        var items: [Item] = []
        let present = Set(facts.existing?.groups.map(\.name) ?? [])
        if facts.existing == nil {
            items.append(Item(.create, "queue", "queue '\(facts.queue)' on \(facts.target.system)"))
        }
        for group in facts.definition.groups where !present.contains(group.name) {
            items.append(
                Item(.create, "group", "group '\(group.name)', lease \(group.lease), \(group.maxAttempts) attempts")
            )
        }
        if !facts.groupless.isEmpty, let group = facts.definition.groups.first, facts.definition.groups.count == 1 {
            items.append(
                Item(
                    .map,
                    "groupless",
                    "\(facts.groupless.count) dead letters that name no group become those of '\(group.name)'",
                    ids: facts.groupless
                )
            )
        }
        if let remembered = facts.inventory.remembered, remembered > 0, facts.target[.deduplication].isAvailable {
            items.append(Item(.map, "deduplication", "\(remembered) remembered ids are carried over"))
        }
        if let inFlight = facts.inventory.count(.inFlight), inFlight > 0 {
            items.append(
                Item(
                    .map,
                    "in-flight",
                    "\(inFlight) messages in flight stay with their consumers until they are settled"
                )
            )
        }
        return items
    }

    private static func losses(_ facts: PlannerFacts) -> [Item] {
        let (definition, target) = (facts.definition, facts.target)
        var items: [Item] = []
        func lose(_ feature: Capabilities.Feature, _ text: String, when isUsed: Bool = true) {
            guard isUsed, facts.source[feature].isAvailable, !target[feature].isAvailable else { return }
            items.append(Item(.lossy, feature.description, text))
        }
        lose(.keyedOrder, "\(target.system) does not keep the order per key", when: definition.ordering == .keyed)
        lose(.boundedQueue, "the bound of \(definition.maxReady ?? 0) ready messages", when: definition.maxReady != nil)
        lose(.replay, "new groups cannot begin in the past", when: definition.retention > .zero)
        lose(
            .deduplication,
            "\(target.system) does not recognise an id that was published before",
            when: definition.dedupeWindow > .zero
        )
        lose(.idConflict, "an id that is published again with another body counts as a duplicate")
        lose(.renewal, "leases cannot be renewed while a handler runs")
        lose(.fencedSettle, "settling after the lease has run out is not refused")
        lose(.confirmedSettle, "settlements are not confirmed: a crash can bring back what was settled")
        lose(.atomicMove, "a crash while a message is retried or rejected can double it")
        lose(.scheduleList, "schedules cannot be listed or cancelled")
        lose(.deadLetters, "there are no dead letters")
        lose(.delay, "nothing can be published for later")
        lose(.atMostOnce, "consumers cannot take messages at most once")
        lose(.persistence, "what is confirmed does not outlive the process")
        if definition.retention > .zero {
            items.append(
                Item(.lossy, "retained-history", "messages that are handled and kept for replay stay where they are")
            )
        }
        if rank(target.durability) < rank(facts.source.durability) {
            items.append(
                Item(
                    .lossy,
                    "durability",
                    "a confirmed message survives less: \(words(facts.source.durability)) before, "
                        + "\(words(target.durability)) after"
                )
            )
        }
        return items
    }

    private static func rank(_ durability: Capabilities.Durability) -> Int {
        switch durability {
        case .memory: 0
        case .unknown: 1
        case .window: 2
        case .disk: 3
        case .replicated: 4
        }
    }

    private static func words(_ durability: Capabilities.Durability) -> String {
        switch durability {
        case .memory: "memory only"
        case .unknown(let reason): "unknown (\(reason))"
        case .window(let time): "all but the last \(time)"
        case .disk: "on one disk"
        case .replicated: "replicated"
        }
    }

    private static func notes(_ facts: PlannerFacts) -> [Item] {
        var items = facts.target.findings.map { Item(.note, "finding", "\(facts.target.system): \($0)") }
        if let reason = facts.targetLimits.restoresAgain {
            let most = MigrationSide.window
            items.append(
                Item(.note, "crash", "a crash doubles at most \(most) messages that were going over: \(reason)")
            )
        }
        if facts.definition.ordering == .keyed, facts.target[.keyedOrder].isAvailable {
            items.append(
                Item(
                    .note,
                    "ordered",
                    "the order per key is kept: the new side is read when the old one is empty, all keys together"
                )
            )
        }
        for (state, reason) in facts.unlisted where ![.waiting, .scheduled, .dead].contains(state) {
            items.append(Item(.note, "listing", "what is \(state.rawValue) was not listed: \(reason)"))
        }
        return items
    }

    private static func moves(_ facts: PlannerFacts) -> [Item] {
        var items: [Item] = []
        func move(_ state: StoredMessage.State, _ words: String) {
            for entry in facts.inventory.entries where entry.state == state {
                guard let count = entry.count, count > 0 else { continue }
                let group = entry.group.map { " of group '\($0)'" } ?? ""
                items.append(Item(.move, state.rawValue, "\(count) \(words)\(group)"))
            }
        }
        if facts.mode == .bridge {
            move(.ready, "ready messages")
        } else if let ready = facts.inventory.count(.ready), ready > 0 {
            items.append(Item(.note, "ready", "wait until consumers have handled \(ready) ready messages"))
        }
        if facts.definition.ordering == .keyed {
            if let waiting = facts.inventory.count(.waiting), waiting > 0 {
                items.append(Item(.note, "waiting", "wait until \(waiting) retries have been handled"))
            }
        } else {
            move(.waiting, "retries that wait")
        }
        move(.scheduled, "scheduled messages")
        move(.dead, "dead letters")
        return items
    }
}

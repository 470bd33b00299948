import Messaging

/// Writes the events of a few messages down, in order, with their times.
struct HistoryText {
    private let events: [HistoryEvent]

    init(_ events: [HistoryEvent]) { self.events = events }

    /// Returns one line per event that one of the messages, or a receipt of them, took part in.
    ///
    /// - Parameters:
    ///   - ids: The messages.
    ///   - queue: Their queue.
    ///   - group: The group that it is about; `nil` for all.
    /// - Returns: The lines, in the order in which the calls ended.
    func lines(of ids: Set<MessageID>, queue: String, group: String?) -> [String] {
        guard !ids.isEmpty else { return [] }
        func isMeant(_ member: HistoryEvent.Member) -> Bool {
            member.queue == queue && (group == nil || group == member.group)
        }
        var members: Set<Int> = []
        var clients: Set<Int> = []
        var receipts: [Int: Set<Receipt>] = [:]
        var letters: [String: MessageID] = [:]
        for event in events {
            switch event.kind {
            case .delivered(let delivered, let member) where isMeant(member) && ids.contains(delivered.id):
                members.insert(member.number)
                clients.insert(member.client)
                receipts[member.number, default: []].insert(delivered.receipt)
            case .listed(let letter, queue) where ids.contains(letter.id): letters[letter.letter] = letter.id
            default: break
            }
        }
        let chosen = events.filter { event in
            switch event.kind {
            case .declared(let definition, _): definition.name == queue
            case .published(let message, let name, _): name == queue && ids.contains(message.id)
            case .delivered(let delivered, let member): isMeant(member) && ids.contains(delivered.id)
            case .settled(let receipt, _, let member, _), .renewed(let receipt, let member, _):
                isMeant(member) && receipts[member.number]?.contains(receipt) == true
            case .consumerClosed(let member): members.contains(member.number)
            case .clientClosed(let client): clients.contains(client)
            case .listed(let letter, let name): name == queue && letters[letter.letter] != nil
            case .redriven(let letter, let name, _), .discarded(let letter, let name, _):
                name == queue && letters[letter] != nil
            case .cancelled(let id, let name, _): name == queue && ids.contains(id)
            case .receiveFailed(let member, _, _): isMeant(member)
            case .foreign(let name): name == queue
            case .disturbed: true
            case .received: false
            }
        }
        return chosen.sorted { $0.end.order < $1.end.order }.map { Self.line($0) }
    }

    private static func line(_ event: HistoryEvent) -> String {
        let end = event.end.order == .max ? "…" : time(event.end.time)
        return "[\(time(event.begin.time)) – \(end)] \(what(event.kind))"
    }

    private static func time(_ time: Duration) -> String {
        let milliseconds = Int64((time.inSeconds * 1000).rounded())
        let fraction = "\(milliseconds % 1000)"
        return "\(milliseconds / 1000)." + String(repeating: "0", count: max(0, 3 - fraction.count)) + fraction + " s"
    }

    private static func what(_ kind: HistoryEvent.Kind) -> String {
        switch kind {
        case .declared(let definition, let answer):
            let groups = definition.groups.map { "\($0.name) (lease \($0.lease), \($0.maxAttempts) attempts)" }
            return "declare \(groups.joined(separator: ", ")): \(name(answer))"
        case .published(let message, _, let outcome): return "publish \(message.id): \(name(outcome))"
        case .delivered(let delivered, let member):
            let redrives = delivered.redrives > 0 ? ", redriven \(delivered.redrives) times" : ""
            return "\(name(member)) got \(delivered.id), attempt \(delivered.attempt)\(redrives)"
        case .received(let member): return "\(name(member)) received"
        case .receiveFailed(let member, _, let error): return "\(name(member)): receive failed: \(error)"
        case .settled(_, let settlement, let member, let answer):
            return "\(name(member)): \(name(settlement)): \(name(answer))"
        case .renewed(_, let member, let isRenewed):
            return "\(name(member)): renew: \(isRenewed ? "renewed" : "no longer held")"
        case .consumerClosed(let member): return "\(name(member)) closed"
        case .clientClosed(let client): return "client \(client) closed"
        case .listed(let letter, _): return "dead letter \(letter.letter) of group \(letter.group ?? "?"): \(letter.id)"
        case .redriven(let letter, _, let answer): return "redrive \(letter): \(name(answer))"
        case .discarded(let letter, _, let answer): return "discard dead letter \(letter): \(name(answer))"
        case .cancelled(let id, _, let answer): return "cancel \(id): \(name(answer))"
        case .foreign: return "something outside of the history uses the queue"
        case .disturbed(let fault): return "fault: \(fault)"
        }
    }

    private static func name(_ member: HistoryEvent.Member) -> String { "\(member.name) (\(member.group))" }

    /// The name of a settlement, without what a program passed along.
    static func name(_ settlement: Settlement) -> String {
        switch settlement {
        case .acknowledge: "acknowledge"
        case .retry(let delay, _): "retry after \(delay)"
        case .reject(let reason, _): "reject (\(reason))"
        case .discard: "discard"
        case .release: "release"
        }
    }

    private static func name(_ answer: HistoryEvent.Answer) -> String {
        switch answer {
        case .done: "done"
        case .notDone(let why): "not done (\(why))"
        case .unknown(let why): "unknown (\(why))"
        }
    }

    private static func name(_ outcome: HistoryEvent.Publication) -> String {
        switch outcome {
        case .accepted: "accepted"
        case .duplicate: "duplicate"
        case .refused(let why): "refused (\(why))"
        case .unknown(let why): "unknown (\(why))"
        }
    }

    private static func name(_ answer: HistoryEvent.SettleAnswer) -> String {
        switch answer {
        case .settled: "settled"
        case .leaseLost: "lease lost"
        case .alreadySettled: "already settled"
        case .unknown(let why): "unknown (\(why))"
        }
    }
}

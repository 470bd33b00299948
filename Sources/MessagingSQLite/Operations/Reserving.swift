#if SQLite
import GRDB
import Messaging

/// Where a stored message is, as the text of its id.
struct StoredPlace {
    enum Kind: String, CaseIterable {
        /// It belongs to a group: `number` is its place in the log, or below zero that of a message of one group.
        case group = "g"
        case scheduled = "s"
        case dead = "d"
    }

    let kind: Kind
    /// The number of the group, or zero.
    let group: Int64
    let number: Int64

    init(_ kind: Kind, group: Int64 = 0, _ number: Int64) {
        self.kind = kind
        self.group = group
        self.number = number
    }

    init?(_ text: String) {
        let parts = text.split(separator: ":", omittingEmptySubsequences: false)
        guard parts.count == 3, let kind = Kind(rawValue: String(parts[0])), let group = Int64(parts[1]),
            let number = Int64(parts[2])
        else { return nil }
        self.init(kind, group: group, number)
    }

    var text: String { "\(kind.rawValue):\(group):\(number)" }
}

/// What can be done with messages that are, or are to be, on their way elsewhere.
enum TransferStep {
    case reserve, putBack, remove
}

/// Messages that are on their way elsewhere stay in their tables, with times that never come and dead letters under a
/// queue that is not: whatever counts or keeps messages goes on as before, and whatever hands them out passes them over.
extension Transaction {
    func setIntake(isOpen: Bool, of name: String) throws {
        let queue = try queue(name)
        guard queue.isClosed == isOpen else { return }
        try prepared("UPDATE mq_queue SET closed = ? WHERE id = ?").run(.integer(isOpen ? 0 : 1), .integer(queue.id))
        try database.execute(
            sql: isOpen ? "DROP TRIGGER IF EXISTS mq_closed_\(queue.id)" : Schema.closing(queue.id, named: queue.name)
        )
        try noteTopologyChange()
    }

    /// Does something with what is reserved or to be reserved, and returns the ids of what it was done with.
    func transfer(_ step: TransferStep, _ ids: [String], of name: String) throws -> [String] {
        let queue = try queue(name)
        return try ids.filter { id in
            guard let place = StoredPlace(id) else { return false }
            switch place.kind {
            case .group:
                guard let group = queue.groups.first(where: { $0.id == place.group }) else { return false }
                return try transferWaiting(step, place.number, group, queue)
            case .scheduled: return try transferScheduled(step, place.number, queue)
            case .dead: return try transferDead(step, place.number, queue)
            }
        }
    }

    private func transferWaiting(
        _ step: TransferStep,
        _ position: Int64,
        _ group: GroupInfo,
        _ queue: QueueInfo
    ) throws -> Bool {
        let found = try prepared(
            "SELECT due FROM mq_waiting INDEXED BY mq_waiting_seq WHERE group_id = ? AND seq = ?"
        ).first(.integer(group.id), .integer(position)) { $0.integer(0) }
        guard let due = found else { return false }
        let isReserved = due >= FileTime.reserved
        let row = "WHERE group_id = ? AND due = ? AND seq = ?"
        switch step {
        case .reserve:
            if isReserved { return true }
            // What is due is ready, whether somebody has looked or not.
            guard due > now else { return false }
            try prepared("UPDATE mq_waiting SET due = due + \(FileTime.reserved) \(row)")
                .run(.integer(group.id), .integer(due), .integer(position))
        case .putBack:
            guard isReserved else { return false }
            try prepared("UPDATE mq_waiting SET due = due - \(FileTime.reserved) \(row)")
                .run(.integer(group.id), .integer(due), .integer(position))
            wake(group, of: queue)
        case .remove:
            guard isReserved else { return false }
            try prepared("DELETE FROM mq_waiting \(row)").run(.integer(group.id), .integer(due), .integer(position))
            try finish(position, group, queue)
        }
        return true
    }

    private func transferScheduled(_ step: TransferStep, _ number: Int64, _ queue: QueueInfo) throws -> Bool {
        let found = try prepared("SELECT due FROM mq_scheduled WHERE number = ? AND queue_id = ?")
            .first(.integer(number), .integer(queue.id)) { $0.integer(0) }
        guard let due = found else { return false }
        let isReserved = due >= FileTime.reserved
        switch step {
        case .reserve:
            if isReserved { return true }
            guard due > now else { return false }
            try prepared("UPDATE mq_scheduled SET due = due + \(FileTime.reserved) WHERE number = ?")
                .run(.integer(number))
        case .putBack:
            guard isReserved else { return false }
            try prepared("UPDATE mq_scheduled SET due = due - \(FileTime.reserved) WHERE number = ?")
                .run(.integer(number))
            wake(queue)
        case .remove:
            guard isReserved else { return false }
            try prepared("DELETE FROM mq_scheduled WHERE number = ?").run(.integer(number))
        }
        return true
    }

    private func transferDead(_ step: TransferStep, _ number: Int64, _ queue: QueueInfo) throws -> Bool {
        let found = try prepared("SELECT queue_id FROM mq_dead WHERE number = ? AND abs(queue_id) = ?")
            .first(.integer(number), .integer(queue.id)) { $0.integer(0) }
        guard let owner = found else { return false }
        let isReserved = owner < 0
        switch step {
        case .reserve:
            if isReserved { return true }
            try prepared("UPDATE mq_dead SET queue_id = -queue_id WHERE number = ?").run(.integer(number))
        case .putBack:
            guard isReserved else { return false }
            try prepared("UPDATE mq_dead SET queue_id = -queue_id WHERE number = ?").run(.integer(number))
        case .remove:
            guard isReserved else { return false }
            try prepared("DELETE FROM mq_dead WHERE number = ?").run(.integer(number))
        }
        return true
    }
}
#endif

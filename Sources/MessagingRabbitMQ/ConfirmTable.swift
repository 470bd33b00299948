#if RabbitMQ
import DequeModule

/// What was published on a channel and not confirmed, by the numbers that the broker counts in.
struct ConfirmTable<Ticket> {
    /// What became of one message.
    enum Verdict: Equatable {
        case accepted
        /// No queue took it.
        case returned
        case refused
    }

    private struct Entry {
        var ticket: Ticket
        var id: String
        var size: Int
        var isReturned = false
        var isOpen = true
    }

    private var entries = Deque<Entry>()
    /// The number of the first entry; the broker counts from 1.
    private var first: UInt64 = 1
    private(set) var count = 0
    private(set) var bytes = 0

    var isEmpty: Bool { count == 0 }
    /// What has waited longest.
    var oldest: Ticket? { entries.first?.ticket }

    /// Notes the next message.
    mutating func sent(_ ticket: Ticket, id: String, size: Int) {
        entries.append(Entry(ticket: ticket, id: id, size: size))
        count += 1
        bytes += size
    }

    /// Notes that the broker sent a message back: its confirmation follows.
    ///
    /// Returns go by id, in the order of publishing.
    mutating func returned(id: String) {
        guard let index = entries.firstIndex(where: { $0.isOpen && !$0.isReturned && $0.id == id }) else { return }
        entries[index].isReturned = true
    }

    /// Returns what a confirmation is about; unknown numbers are passed over.
    mutating func confirmed(_ number: UInt64, multiple: Bool, isAccepted: Bool) -> [(Ticket, Verdict)] {
        guard number >= first, number - first < UInt64(entries.count) else { return [] }
        let last = Int(number - first)
        var verdicts: [(Ticket, Verdict)] = []
        for index in (multiple ? 0 : last)...last where entries[index].isOpen {
            let entry = entries[index]
            entries[index].isOpen = false
            count -= 1
            bytes -= entry.size
            verdicts.append((entry.ticket, entry.isReturned ? .returned : isAccepted ? .accepted : .refused))
        }
        while entries.first?.isOpen == false {
            entries.removeFirst()
            first += 1
        }
        return verdicts
    }

    /// Takes everything that was never confirmed, because the channel is gone.
    mutating func takeAll() -> [Ticket] {
        defer { self = ConfirmTable() }
        return entries.filter(\.isOpen).map(\.ticket)
    }
}
#endif

#if Kafka
import Messaging

extension MemberState {
    /// Notes a change that is to be committed.
    mutating func touch(_ index: Int) {
        slots[index].isDirty = true
        sequence += 1
    }

    func commit(_ slot: PartitionSlot, isOpen: Bool, suspect: Int64?) -> KafkaPosition? {
        guard let base = slot.tracker.base else { return nil }
        var note = CommitNote()
        note.made = settings.made
        note.isOpen = isOpen
        note.high = slot.tracker.high
        note.suspect = suspect
        note.inFlight = slot.inFlight
        note.oldest = slot.entries.number(of: base).map { slot.entries[$0].published }
        note.finished = slot.tracker.finished
        note.attempts = slot.tracker.attempts
        note.reservations = slot.known
        return KafkaPosition(place: slot.place, offset: base, metadata: note.text(base: base))
    }

    /// What to commit now; nothing while a commit is under way or it is too early.
    mutating func beginCommit(now: Duration) -> [KafkaPosition] {
        guard committing == nil, !isDraining, isUrgent || now >= nextCommit else { return [] }
        var commits: [KafkaPosition] = []
        for index in slots.indices where slots[index].isDirty {
            slots[index].isDirty = false
            let place = slots[index].place
            let suspected = suspect.flatMap { $0.place == place ? $0.offset : nil }
            let isOpen = slots[index].role.isDelivered
            if let position = commit(slots[index], isOpen: isOpen, suspect: suspected) { commits.append(position) }
        }
        isUrgent = false
        guard !commits.isEmpty else { return [] }
        committing = (sequence, commits.map(\.place))
        nextCommit = now + settings.commitInterval
        return commits
    }

    /// Notes how a commit ended.
    mutating func endCommit(_ failure: KafkaFailure?, now: Duration) {
        guard let (sequence, places) = committing else { return }
        committing = nil
        if failure == nil {
            committed = max(committed, sequence)
            proof = now
            if let suspect, case .reserving(let number) = suspect.phase, number <= committed {
                self.suspect?.phase = .reserved
            }
        } else {
            for place in places {
                if let index = slotIndex[place] { slots[index].isDirty = true }
            }
            nextCommit = now + .milliseconds(500)
        }
    }

    /// Whether there is something to commit.
    var hasChanges: Bool { slots.contains(where: \.isDirty) }
}

extension CommitNote {
    /// The same of a member that left in order.
    var closed: CommitNote {
        var note = self
        note.isOpen = false
        return note
    }
}
#endif

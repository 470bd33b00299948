#if Kafka
import Messaging

/// What a member does about messages that somebody has reserved to move them elsewhere.
///
/// It reads the words of all, moves nothing before it knows every word that was there when it got its partitions, and
/// commits up to where it knows them. A commit is fenced by the group's generation, so whoever finds a word covered by one
/// and the message unfinished has it: this member and all after it leave it alone.
extension MemberState {
    /// Whether anything that waits may be moved: all reservations are known, and the partitions are not about to go.
    var mayMove: Bool { !isDraining && reservations.next >= reservationsEnd }

    /// Whether a copy of something that waits is being written; one that could not be is tried again later.
    var isMoving: Bool {
        let moving = slots.reduce(0) { sum, slot in
            slot.role.isDelivered ? sum : sum + slot.entries.inOrder.count { slot.entries[$0.number].isMoving }
        }
        return moving > failed.count { settings.roles[$0.place.topic]?.isDelivered == false }
    }

    func isReserved(_ index: Int, _ offset: Int64) -> Bool {
        guard let topic = slots[index].role.reservable else { return false }
        return reservations.isReserved(topic, slots[index].place.partition, offset, for: settings.group)
    }

    /// Takes in a word on what is reserved.
    mutating func hear(_ record: KafkaRecord, wall: Int64) {
        if record.offset > reservations.next, reservations.begin(at: record.offset) {
            // Words that are gone were removed when nothing was reserved any more.
            for index in slots.indices where !slots[index].role.isDelivered { wait(index) }
        }
        guard let change = reservations.apply(record), change.place.group ?? settings.group == settings.group else {
            return
        }
        for index in slots.indices
        where slots[index].role.reservable == change.place.topic
            && slots[index].place.partition == change.place.partition
        { apply(change.word, to: change.place.offset, index) }
    }

    private mutating func apply(_ word: ReservationBook.Word, to offset: Int64, _ index: Int) {
        let number = slots[index].entries.number(of: offset)
        let isMoving = number.map { slots[index].entries[$0].isMoving } ?? false
        switch word {
        case .reserved: if isMoving { slots[index].contested.insert(offset) }
        case .returned: if let number, !isMoving { setTimer(index, number, at: due(index, number), .due) }
        case .moved:
            if isMoving { return }
            if let number { return finish(index, number) }
            slots[index].tracker.finish(offset..<offset + 1)
            touch(index)
        }
    }

    /// Lets everything of a level wait for its time again.
    private mutating func wait(_ index: Int) {
        for ref in slots[index].entries.inOrder where !slots[index].entries[ref.number].isMoving {
            setTimer(index, ref.number, at: due(index, ref.number), .due)
        }
    }

    /// Asks for a commit that says up to where the reservations are kept to, where somebody waits for that.
    mutating func acknowledgeReservations() {
        guard mayMove, reservations.next > 0 else { return }
        for index in slots.indices where slots[index].contested.isEmpty {
            guard let topic = slots[index].role.reservable,
                slots[index].known < reservations.last(topic, slots[index].place.partition, for: settings.group)
            else { continue }
            slots[index].known = reservations.next
            touch(index)
            isUrgent = true
        }
    }
}
#endif

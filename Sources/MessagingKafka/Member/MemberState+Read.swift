#if Kafka
import DequeModule
import HeapModule
import Messaging

extension MemberState {
    /// Takes in a record that was read.
    mutating func add(_ arrival: Arrival, wall: Int64) {
        if lastRead?.place != arrival.place { lastRead = slotIndex[arrival.place].map { (arrival.place, $0) } }
        guard let index = lastRead?.index else { return }
        let offset = arrival.offset
        let before = slots[index].tracker.base
        let isNew = slots[index].tracker.admit(offset)
        if slots[index].tracker.base != before, before != nil { touch(index) }
        guard isNew else { return }
        let timestamp = arrival.timestamp ?? wall
        let parcel: Parcel
        switch arrival.content {
        case .message(let message): parcel = message
        case .broken(let problem):
            let letter = problem.envelope.deadLetter(
                group: settings.group,
                reason: .undecodable,
                error: problem.text,
                attempts: problem.envelope.attempts,
                now: wall
            )
            let number = slots[index].entries.insert(
                PartitionEntries.Entry(
                    parcel: Parcel(letter),
                    offset: offset,
                    timestamp: timestamp,
                    bytes: 0,
                    isOut: true
                )
            )
            // What waits is moved by its time alone, which knows what is reserved.
            if !slots[index].role.isDelivered { return setTimer(index, number, at: wall, .due) }
            return move(index, number, .deadLetters, letter)
        }
        let bytes = parcel.message.body.count + 200
        let number = slots[index].entries.insert(
            PartitionEntries.Entry(parcel: parcel, offset: offset, timestamp: timestamp, bytes: bytes)
        )
        if slots[index].role.isDelivered {
            slots[index].fresh.append(PartitionEntries.Ref(offset: offset, number: number))
            buffered += 1
            bufferedBytes += bytes
            return
        }
        let due = due(index, number)
        if slots[index].role == .scheduled, let since = settings.since, due <= since { return finish(index, number) }
        setTimer(index, number, at: due, .due)
    }

    /// When something that waits is due, in milliseconds since 1970.
    func due(_ index: Int, _ number: Int) -> Int64 {
        let envelope = slots[index].entries[number].parcel.envelope
        return (slots[index].role == .delayed ? envelope.again : nil) ?? envelope.due ?? 0
    }

    /// Notes that something is to happen to a message at a time.
    mutating func setTimer(_ index: Int, _ number: Int, at time: Int64, _ purpose: Timer.Purpose) {
        timers.insert(
            Timer(
                at: time,
                place: slots[index].place,
                offset: slots[index].entries[number].offset,
                number: number,
                generation: slots[index].generation,
                purpose: purpose
            )
        )
    }

    /// Ends a message for good.
    mutating func finish(_ index: Int, _ number: Int) {
        let offset = slots[index].entries[number].offset
        slots[index].tracker.finish(offset)
        if slots[index].role.isDelivered {
            if !slots[index].entries[number].isOut {
                buffered -= 1
                bufferedBytes -= slots[index].entries[number].bytes
            }
            if let key = laneKey(index, number) { openLane(index, key) }
        }
        slots[index].entries.remove(number)
        if !slots[index].contested.isEmpty { slots[index].contested.remove(offset) }
        forgetSuspect(index, offset)
        touch(index)
    }

    /// Notes that a message has left the room for what waits, or has come back to it.
    mutating func setOut(_ isOut: Bool, _ index: Int, _ number: Int) {
        guard slots[index].entries[number].isOut != isOut else { return }
        slots[index].entries[number].isOut = isOut
        let bytes = slots[index].entries[number].bytes
        buffered += isOut ? -1 : 1
        bufferedBytes += isOut ? -bytes : bytes
    }

    /// Lets the next message of a key go.
    private mutating func openLane(_ index: Int, _ key: String) {
        guard let next = slots[index].lanes[key]?.waiting.popFirst() else {
            slots[index].lanes[key] = nil
            return
        }
        slots[index].lanes[key]?.turn = next.offset
        slots[index].putBack(next)
    }

    /// The key that holds up others of its kind.
    func laneKey(_ index: Int, _ number: Int) -> String? {
        settings.isKeyed && slots[index].role == .main ? slots[index].entries[number].parcel.message.key : nil
    }

    func forgetsSuspect(_ index: Int, _ offset: Int64) -> Bool {
        guard let suspect else { return false }
        return suspect.offset == offset && suspect.place == slots[index].place
    }

    mutating func forgetSuspect(_ index: Int, _ offset: Int64) {
        if forgetsSuspect(index, offset) { suspect = nil }
    }

    /// Asks for a copy of a message before it is finished.
    mutating func move(_ index: Int, _ number: Int, _ destination: Move.Destination, _ envelope: Envelope) {
        moves.append(
            Move(
                place: slots[index].place,
                offset: slots[index].entries[number].offset,
                number: number,
                generation: slots[index].generation,
                receipt: nil,
                destination: destination,
                envelope: envelope
            )
        )
    }

    // MARK: - Flow

    /// How many messages of a level wait in memory for their time; what is reserved keeps nobody out.
    private func waiting(_ index: Int) -> Int {
        guard let topic = slots[index].role.reservable else { return 0 }
        let reserved = reservations.count(topic, slots[index].place.partition, for: settings.group)
        return max(0, slots[index].entries.count - reserved)
    }

    /// How many more messages may be read that are handed over.
    mutating func room() -> Int {
        // Both thresholds look at every value, so neither is skipped by the other's answer.
        let (isCrowded, isHeavy) = (crowd.update(buffered), byteCrowd.update(bufferedBytes))
        return isDraining || isCrowded || isHeavy ? 0 : max(0, settings.maxBuffered - buffered)
    }

    /// Which partitions to stop reading and which to read again.
    ///
    /// librdkafka throws away what it has of a partition that is paused, so those whose messages are handed over are left
    /// unread instead, unless their note is full.
    mutating func flow() -> (pause: [TopicPartition], resume: [TopicPartition]) {
        var (pause, resume): ([TopicPartition], [TopicPartition]) = ([], [])
        for index in slots.indices {
            let isOver = slots[index].crowd.update(waiting(index))
            let isLong =
                slots[index].isPaused ? !slots[index].tracker.hasRoom : slots[index].tracker.isNearlyFull
            let wanted = isOver || isLong
            guard wanted != slots[index].isPaused else { continue }
            slots[index].isPaused = wanted
            if wanted { pause.append(slots[index].place) } else { resume.append(slots[index].place) }
        }
        return (pause, resume)
    }
}
#endif

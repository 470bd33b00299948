#if RabbitMQ
import Logging
import Messaging

// How lanes are taken and left, and what is noted about their messages.

extension LaneRole {
    /// The lanes that nothing is handed over of any more.
    var leavingLanes: Set<Int> {
        Set(links.indices.filter { links[$0].state != .open })
    }

    /// When others are looked for next.
    var nextLook: Duration {
        let busy = lookedAt + Self.busyLook
        return waiters.isEmpty ? min(busy, max(askedAt + Self.grace, lookedAt + Self.idleLook)) : busy
    }

    private func isIdle(_ now: Duration) -> Bool { waiters.isEmpty && now - askedAt >= Self.grace }

    /// Subscribes to lanes, looks for others, and leaves lanes to them.
    func tend(_ now: Duration) throws(QueueError) {
        guard let connection else { return }
        if !waiters.isEmpty {
            if !isMember { try join(connection) }
            for lane in links.indices where links[lane].state == .closed { try open(lane, connection) }
        }
        if !isStopped, !isLooking, links.contains(where: { $0.state == .open }), now >= nextLook {
            isLooking = true
            lookedAt = now
            try connection.send(.queueExists(members), on: askingChannel)
        }
        try leaveLanes(now)
        if isMember, isIdle(now), links.allSatisfy({ $0.state == .closed }) {
            isMember = false
            try connection.send(.cancel(tag: context.name), on: askingChannel)
        }
        keepNotes(now)
    }

    /// Leaves the lanes that are to be left and whose messages nobody has in hands.
    private func leaveLanes(_ now: Duration) throws(QueueError) {
        let isDue = now >= countedAt + Self.busyLook
        guard isStopped || isDue || links.contains(where: { $0.state == .leaving }) else { return }
        if isDue { countedAt = now }
        let counts = book.counts()
        for lane in links.indices {
            // In time before the broker takes everything of the lane back.
            let isOld = counts[lane].map { now - $0.oldest >= context.longestHold / 2 } ?? false
            if links[lane].state == .open, isOld || isStopped { links[lane].state = .leaving }
            if links[lane].state == .opening, isStopped { links[lane].state = .leaving }
            if links[lane].state == .leaving { try leaveWhenFree(lane, held: counts[lane]?.held ?? 0, now) }
        }
    }

    private var members: String { RabbitNames.members(context.queue, context.group) }

    /// Lets others count this consumer.
    private func join(_ connection: AMQPConnection) throws(QueueError) {
        isMember = true
        try connection.send(.consume(queue: members, tag: context.name), on: askingChannel)
    }

    private func open(_ lane: Int, _ connection: AMQPConnection) throws(QueueError) {
        links[lane].state = .opening
        let channel = channel(lane)
        try connection.send(.channelOpen, on: channel)
        try connection.send(.prefetch(UInt16(Lanes.window)), on: channel)
        try connection.send(.consume(queue: source(lane), tag: "\(context.name)#\(lane)"), on: channel)
    }

    /// Goes on after an answer of the broker.
    func answered(_ reply: AMQPReply, _ lane: Int, _ now: Duration) throws(QueueError) {
        if reply.kind == .queueDeclare {
            isLooking = false
            return share(reply.consumers, now)
        }
        guard links.indices.contains(lane) else { return }
        switch (reply.kind, links[lane].state) {
        case (.consume, .opening):
            links[lane].state = .open
            links[lane].openedAt = now
        case (.consume, .proving):
            links[lane].unproven = 0
            try note(lane, after: 0, now)
        case (.channelClose, .closing): links[lane].state = .closed
        default: break
        }
    }

    /// Leaves lanes to others, as many as is fair.
    private func share(_ consumers: Int, _ now: Duration) {
        if isStopped { return }
        let counts = book.counts()
        let shares = links.indices.filter { links[$0].state == .open }.map { lane in
            Lanes.Share(
                lane: lane,
                isOwn: links[lane].isOwn,
                count: counts[lane]?.all ?? 0,
                held: counts[lane]?.held ?? 0
            )
        }
        for lane in Lanes.surplus(shares, consumers: consumers, lanes: lanes, isIdle: isIdle(now)) {
            links[lane].state = .leaving
        }
    }

    private func leaveWhenFree(_ lane: Int, held: Int, _ now: Duration) throws(QueueError) {
        // Who closes the consumer gives up what it has in hands.
        guard held == 0 || isStopped && !book.isSettling(lane) else { return }
        try acknowledge()
        guard links[lane].unproven > 0 else { return try note(lane, after: 0, now) }
        // A channel that ends forgets acknowledgements that its queue has no room for yet, and each lets another message
        // come. A second subscription waits behind the first, and its answer comes after all that.
        links[lane].state = .proving
        try connection?.send(.consume(queue: source(lane), tag: "\(context.name)#\(lane)#end"), on: channel(lane))
    }

    /// Notes what goes back, and closes the channel then.
    private func note(_ lane: Int, after last: UInt64, _ now: Duration) throws(QueueError) {
        let left = book.unheld(lane, after: last)
        guard let newest = left.last?.message else { return try close(lane, now) }
        links[lane].state = .noting
        let notes = left.map { LaneNote($0.entry.wire, due: unix($0.entry.due, now), isLeft: true) }
        let life = links[lane].life
        helper.write(notes) { role, isWritten in role.noted(lane, life, isWritten ? newest : .max) }
    }

    private func unix(_ due: Duration?, _ now: Duration) -> Int64? {
        due.map { UnixTime.milliseconds() + max(.zero, $0 - now).milliseconds + 1 }
    }

    private func noted(_ lane: Int, _ life: UInt32, _ newest: UInt64) {
        guard links[lane].life == life, links[lane].state == .noting else { return }
        do throws(QueueError) {
            // What came meanwhile is noted, too; it ends because each turn needs messages that were published since.
            try note(lane, after: newest, QueueClock.system.now())
        } catch {
            // The next turn finds the connection broken, too.
            logger.debug("a lane could not be left", metadata: [LogKeys.error: "\(error)"])
        }
    }

    private func close(_ lane: Int, _ now: Duration) throws(QueueError) {
        lose(lane, now)
        links[lane].state = .closing
        try connection?.send(.channelClose, on: channel(lane))
    }

    // MARK: - Notes

    /// Notes that a message goes back untouched which was on its way here when its lane was left.
    func noteLate(_ message: IncomingMessage) {
        let wire = WireFormat.read(message)
        if wire.problem == nil { helper.write([LaneNote(wire, due: nil, isLeft: true)]) { _, _ in } }
    }

    /// Looks for notes, writes those about suspects, and removes those of no more use.
    private func keepNotes(_ now: Duration) {
        while let first = doubtful.first, first.again <= now {
            doubtful.removeFirst()
            unchecked.append(first.message)
        }
        if !unchecked.isEmpty, !isChecking {
            isChecking = true
            let messages = unchecked
            unchecked.removeAll()
            helper.check { role, notes in role.checked(messages, notes) }
        }
        if !waiters.isEmpty, let suspect = book.takeSuspect(except: leavingLanes) {
            var note = LaneNote(suspect.wire, due: nil, isLeft: false)
            note.isTried = true
            helper.write([note]) { role, isWritten in
                role.book.clear(suspect.message, isWritten: isWritten, at: QueueClock.system.now())
            }
        }
        if !stale.isEmpty, !isForgetting, !isStopped, now >= staleSince + Self.staleTime {
            isForgetting = true
            let ids = stale
            stale.removeAll()
            helper.forget(ids) { role in role.isForgetting = false }
        }
    }

    private func checked(_ messages: [UInt64], _ notes: [String: LaneNote]) {
        isChecking = false
        let (now, unixNow) = (QueueClock.system.now(), UnixTime.milliseconds())
        for message in messages {
            guard let wire = book.entries[message]?.wire else { continue }
            let note = notes[wire.message.id.rawValue].flatMap { $0.isAbout(wire) ? $0 : nil }
            // Whoever had it may have got it only while it left the lane, and is about to note that.
            if note?.seen ?? 0 < wire.seen, lookedUpTwice.insert(message).inserted {
                doubtful.append((message, now + Self.noteTime))
                continue
            }
            lookedUpTwice.remove(message)
            let due = note?.due.map { now + .milliseconds(max(0, $0 - unixNow)) }
            if book.check(message, note, due: due, maxAttempts: context.maxAttempts, at: now) { continue }
            bury(message)
        }
    }

    /// The copy of a message that nobody gets was written.
    func finished(_ message: UInt64) {
        if let entry = book.finish(message, at: QueueClock.system.now()) { ended(entry) }
    }

    /// The copy of a message that is none of the book's was written.
    func moved(_ lane: Int, _ life: UInt32, _ tag: UInt64) {
        if links[lane].life == life { links[lane].window.finish(tag) }
    }

    /// Acknowledges a message that is finished.
    func ended(_ entry: LaneEntry) {
        links[entry.lane].window.finish(entry.tag)
        guard entry.isNoted else { return }
        if stale.isEmpty { staleSince = QueueClock.system.now() }
        stale.append(entry.wire.message.id.rawValue)
    }

    /// Ends a hand-over that is being settled.
    ///
    /// - Returns: Whether it was still this consumer's.
    @discardableResult
    func finish(_ handOver: UInt64, _ now: Duration) -> Bool {
        guard let entry = book.end(handOver, at: now) else { return false }
        ended(entry)
        return true
    }
}
#endif

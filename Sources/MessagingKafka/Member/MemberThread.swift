#if Kafka
import DequeModule
import Foundation
import Logging
import Messaging
import Synchronization

/// What the thread of a ``GroupMember`` does: takes librdkafka's events, and carries out what the state decides.
struct MemberThread: ~Copyable {
    private let member: GroupMember
    private let client: KafkaClient
    /// Records that the state does not have yet.
    private var arrived = Deque<Arrival>()
    /// Whether librdkafka may have more records for which there is room.
    private var hasMore = false
    /// Partitions that the group has given us and that are not read yet, and when to try that again.
    private var arriving: (places: [TopicPartition], next: Duration)?
    /// Since when the group is told to be beyond the end of what it reads.
    private var beyondSince: Duration?
    /// When to join once more, because the broker has not heard of a topic.
    private var rejoining = Rejoining()
    /// When the partitions go, whatever is still in flight.
    private var drainEnd: Duration?
    /// Commits that have no answer yet.
    private var commits = 0
    /// Why the last commit was not taken.
    private var refusal: KafkaFailure?
    /// Whether the group has given us partitions since it last took them.
    private var isJoined = false
    /// Since when nobody has asked, and others have the messages.
    private var awaySince: Duration?
    /// Once it is, nothing that the group asks for is answered by joining again.
    private var isLeaving = false
    /// While leaving: librdkafka waits for the partitions to be given back.
    private var owesUnassign = false

    /// How long one question to the coordinator may take.
    private static let askLimit: Duration = .seconds(5)
    /// For so long a new leader may not know yet how far its partition goes.
    private static let endLimit: Duration = .seconds(5)

    init(_ member: GroupMember, _ client: KafkaClient) {
        self.member = member
        self.client = client
    }

    private var now: Duration { member.clock.now() }

    mutating func run() {
        while true {
            let pause = sleep()
            if let event = client.poll(for: pause) {
                handle(event)
                var count = 1
                while count < GroupMember.burst, let event = client.poll(for: .zero) {
                    handle(event)
                    count += 1
                }
                takeIn()
            }
            takeFromStore()
            if let arriving, now >= arriving.next { arrive(arriving.places) }
            work()
            // First of all: who leaves must not join once more.
            if member.shared.withLock({ $0.isStopping }) { break }
            if let drainEnd, now >= drainEnd || isQuiet { letGo(isLost: false) }
            watch()
        }
        leave()
        end()
    }

    /// How long the thread may sleep; noted, so that others know whether to wake it.
    private func sleep() -> Duration {
        let now = now
        if hasMore { return .zero }
        // librdkafka takes a thread that does not poll for a session for one that hangs.
        var limit = min(.seconds(60), member.settings.trust / 2)
        if let arriving { limit = min(limit, max(.zero, arriving.next - now)) }
        if let drainEnd { limit = min(limit, max(.zero, drainEnd - now)) }
        if let due = rejoining.due { limit = min(limit, max(.zero, due - now)) }
        return member.shared.withLock { shared in
            if shared.isStopping { return .zero }
            if let cleaning = shared.cleaning { limit = min(limit, max(.zero, cleaning - now)) }
            if isNeglected(shared) { limit = min(limit, max(.zero, shared.lastCall + member.pollTimeout - now)) }
            for confirmation in shared.confirmations { limit = min(limit, max(.zero, confirmation.deadline - now)) }
            let pause = shared.state.idle(now: now, wall: member.wall, limit: limit)
            // The queue counts in milliseconds; a wait that is cut to none would spin.
            let rounded = pause > .zero && pause < .milliseconds(1) ? .milliseconds(1) : pause
            shared.wakes = now + rounded
            return rounded
        }
    }

    private var isQuiet: Bool { member.shared.withLock { $0.state.inFlight == 0 && !$0.state.isMoving } }

    // MARK: - Events

    private mutating func handle(_ event: KafkaEvent) {
        if case .arrival = event {} else { takeIn() }
        switch event {
        case .record(KafkaRegistry.place, let record): heard(record)
        case .record(_, let record): note(record)
        case .arrival(let arrival): arrived.append(arrival)
        case .assigned(let places):
            let topics = Set(places.map(\.topic))
            rejoining.assigned(hasAll: member.settings.roles.keys.allSatisfy(topics.contains), now: now)
            arrive(places)
        case .revoked(_, let isLost): revoke(isLost: isLost)
        case .committed(let failure): committed(failure)
        case .failure(let failure): failed(failure)
        case .unheard(let failure):
            rejoining.missed(isJoined: isJoined, now: now)
            failed(failure)
        case .log(let line): member.log.line(line)
        case .statistics(let text):
            KafkaMetrics(queue: member.settings.queue, group: member.settings.group).report(text)
        case .delivered, .other: break
        }
    }

    private func failed(_ failure: KafkaFailure) {
        member.log.failure(failure)
        if KafkaErrors.isMissing(failure) { member.doubt() }
        let now = now
        member.shared.withLock { shared in
            shared.trouble = (failure, shared.trouble?.since ?? now)
        }
    }

    /// Reads as much as there is room for; the rest stays in librdkafka.
    private mutating func takeFromStore() {
        let room = member.shared.withLock { shared in
            let room = shared.state.room()
            shared.isFull = room == 0
            return room
        }
        let limit = min(room, GroupMember.burst)
        guard limit > 0 else { return hasMore = false }
        let (taken, failures) = client.takeStored(limit, into: &arrived)
        hasMore = taken == limit
        takeIn()
        for failure in failures { handle(.failure(failure)) }
    }

    /// Gives what was read to the state, many at once.
    private mutating func takeIn() {
        if arrived.isEmpty { return }
        let wall = member.wall
        member.shared.withLock { shared in
            shared.trouble = nil
            while let arrival = arrived.popFirst() { shared.state.add(arrival, wall: wall) }
        }
    }

    /// Takes notice of what is declared and deleted, and of the end of our own queue above all.
    private func heard(_ record: KafkaRecord) {
        let queue = member.settings.queue
        member.registry.take(record)
        guard member.registry.known(queue)?.made != member.settings.made else { return }
        member.lose(KafkaQueue.deleted(queue))
    }

    /// Takes notice of what somebody reserves to move it elsewhere.
    private func note(_ record: KafkaRecord) {
        let wall = member.wall
        member.shared.withLock { shared in
            shared.state.hear(record, wall: wall)
            shared.state.acknowledgeReservations()
        }
    }

    /// Takes over partitions where their last member ended.
    private mutating func arrive(_ places: [TopicPartition]) {
        isJoined = true
        if isLeaving || awaySince != nil {
            // Nothing at all: librdkafka goes on waiting for an assignment when it is only told to give up the last one.
            do throws(KafkaFailure) { try client.assign([]) } catch { member.log.failure(error) }
            return
        }
        do throws(KafkaFailure) {
            let found = places.isEmpty ? [] : try client.committed(places, within: Self.askLimit)
            let current = found.map { CommitNote.current($0, made: member.settings.made) }
            guard let (positions, known) = try within(current) else {
                arriving = (places, now + .milliseconds(500))
                return
            }
            // Asked for together; librdkafka would ask for each by itself, behind a fetch that waits.
            let fresh = positions.filter { $0.offset < 0 && known[$0.place] == nil }
            let begins = try client.offsets(
                fresh.map { KafkaPosition(place: $0.place, offset: KafkaPosition.beginning) },
                within: Self.askLimit
            )
            let floors = known.merging(begins.filter { $0.value >= 0 }) { floor, _ in floor }
            let words = try words()
            let now = now
            let (starts, joining, next) = member.shared.withLock { shared in
                let starts = shared.state.assign(positions, floors: floors, words: words ?? 0..<0, now: now)
                // What was known before the partitions came is acknowledged for them too.
                shared.state.acknowledgeReservations()
                shared.hasJoined = true
                shared.trouble = nil
                defer { shared.joining = [] }
                return (starts, shared.joining, shared.state.reservations.next)
            }
            arriving = nil
            let along =
                [KafkaPosition(place: KafkaRegistry.place, offset: member.registry.next)]
                + (member.words.map { [KafkaPosition(place: $0, offset: next)] } ?? [])
            try client.assign(
                starts + along,
                apart: Set(starts.map(\.place).filter { member.settings.roles[$0.topic]?.isDelivered == true })
            )
            for continuation in joining { continuation.resume() }
        } catch {
            // Without knowing where the group is, reading would repeat or skip.
            member.log.failure(error)
            (arriving, beyondSince) = ((places, now + .milliseconds(500)), nil)
        }
    }

    /// Where the group is, and where it began, without what is beyond the end of a partition.
    ///
    /// - Returns: `nil` when it is to be asked again first.
    private mutating func within(
        _ positions: [KafkaPosition]
    ) throws(KafkaFailure) -> (positions: [KafkaPosition], floors: [TopicPartition: Int64])? {
        let asked = positions.filter { max($0.offset, member.floors[$0.place] ?? 0) > 0 }
        let ends = try client.offsets(
            asked.map { KafkaPosition(place: $0.place, offset: KafkaPosition.end) },
            within: Self.askLimit
        )
        let (kept, floors, lost) = LogEnds.within(ends, positions, floors: member.floors)
        guard !lost.isEmpty else {
            beyondSince = nil
            return (kept, floors)
        }
        let since = beyondSince ?? now
        beyondSince = since
        guard now - since >= Self.endLimit else { return nil }
        beyondSince = nil
        member.log.logger.error(
            "the group is beyond the end of partitions, whose topic was made anew or has lost records; it begins again there",
            metadata: [
                LogKeys.queue: "\(member.settings.queue)", LogKeys.group: "\(member.settings.group)",
                "partitions": "\(lost.map(\.description).joined(separator: ", "))",
            ]
        )
        return (kept, floors)
    }

    /// Where the reservations begin and end; `nil` where there are none to know.
    private func words() throws(KafkaFailure) -> Range<Int64>? {
        guard let place = member.words else { return nil }
        func offset(_ at: Int64) throws(KafkaFailure) -> Int64 {
            max(0, try client.offsets([KafkaPosition(place: place, offset: at)], within: Self.askLimit)[place] ?? 0)
        }
        let begin = try offset(KafkaPosition.beginning)
        return begin..<max(begin, try offset(KafkaPosition.end))
    }

    private mutating func revoke(isLost: Bool) {
        (arriving, beyondSince) = (nil, nil)
        if isLeaving {
            owesUnassign = true
            return
        }
        if isLost || awaySince != nil { return letGo(isLost: true) }
        member.shared.withLock { $0.state.isDraining = true }
        drainEnd = now + min(GroupMember.drainLimit, member.settings.trust)
    }

    /// Gives the partitions back to the group.
    private mutating func letGo(isLost: Bool) {
        drainEnd = nil
        isJoined = false
        let last = member.shared.withLock { $0.state.release(isLost: isLost) }
        if !last.isEmpty { commitAndWait(last) }
        refuseConfirmations()
        client.unassign()
    }

    private mutating func committed(_ failure: KafkaFailure?) {
        commits = max(0, commits - 1)
        let now = now
        let isNothing = failure?.name == "_NO_OFFSET"
        let failure = isNothing ? nil : failure
        refusal = failure
        if let failure {
            member.log.logger.info(
                "a commit was not taken; what it covers may come again",
                metadata: [LogKeys.error: "\(failure)", LogKeys.group: "\(member.settings.group)"]
            )
        }
        let isFenced = ["ILLEGAL_GENERATION", "UNKNOWN_MEMBER_ID", "FENCED_INSTANCE_ID"].contains(failure?.name)
        let answers = member.shared.withLock { shared in
            shared.state.endCommit(failure, now: now)
            if failure == nil { shared.trouble = nil }
            let committed = shared.state.committed
            let done = shared.confirmations.filter { isFenced || $0.sequence <= committed }
            shared.confirmations.removeAll { isFenced || $0.sequence <= committed }
            return done.map { ($0.continuation, $0.sequence <= committed) }
        }
        for (continuation, isDone) in answers { continuation.resume(returning: isDone) }
    }

    private func refuseConfirmations() {
        let waiting = member.shared.withLock { shared in
            defer { shared.confirmations = [] }
            return shared.confirmations
        }
        for confirmation in waiting { confirmation.continuation.resume(returning: false) }
    }

    // MARK: - Watching

    /// Whether there is something for consumers, and none of them waits for it.
    private func isNeglected(_ shared: borrowing GroupMember.Shared) -> Bool {
        awaySince == nil && !shared.state.slots.isEmpty && shared.receivers.isEmpty
            && (shared.state.buffered > 0 || shared.state.inFlight > 0)
    }

    /// Gives the messages to other members when nobody here asks for them, and takes part again when somebody does.
    ///
    /// librdkafka sees that this thread polls, and no more.
    private mutating func watch() {
        let now = now
        let isToRejoin = rejoining.isDue(now: now) && isJoined && drainEnd == nil
        if let since = awaySince {
            guard member.shared.withLock({ $0.lastCall > since && !$0.isStopping }) else { return }
            awaySince = nil
            member.shared.withLock { $0.isAway = false }
            return subscribe()
        }
        if isToRejoin { return subscribe() }
        let isOver = member.shared.withLock { shared in
            guard isNeglected(shared), now - shared.lastCall >= member.pollTimeout else { return false }
            shared.isAway = true
            return true
        }
        guard isOver else { return }
        member.log.logger.warning(
            "nobody has asked for messages for \(member.pollTimeout); other members of the group get them",
            metadata: [LogKeys.queue: "\(member.settings.queue)", LogKeys.group: "\(member.settings.group)"]
        )
        awaySince = now
        // A rebalance may be under way, and librdkafka wait for its answer.
        let owesUnassign = arriving != nil || drainEnd != nil
        arriving = nil
        drainEnd = nil
        let last = member.shared.withLock { $0.state.release(isLost: false) }
        // First of all: after a commit that the group refuses, or an answer to its rebalance, librdkafka would join once more.
        client.unsubscribe()
        if !last.isEmpty { commitAndWait(last) }
        refuseConfirmations()
        if owesUnassign { client.unassign() }
    }

    /// Joins; who is a member leaves first what it has.
    private func subscribe() {
        do throws(KafkaFailure) {
            try client.subscribe(member.settings.roles.keys.sorted())
        } catch {
            member.log.failure(error)
        }
    }

    // MARK: - Work

    private mutating func work() {
        let (now, wall) = (now, member.wall)
        let (answers, moves, flow, positions, late) = member.shared.withLock { shared in
            shared.state.advance(now: now, wall: wall)
            shared.state.acknowledgeReservations()
            let answers = shared.state.serve(now: now, wall: wall).compactMap { answer in
                shared.receivers.removeValue(forKey: answer.id).map { ($0, answer.deliveries) }
            }
            let moves = shared.state.moves
            shared.state.moves = []
            let positions = arriving == nil ? shared.state.beginCommit(now: now) : []
            let late = shared.confirmations.filter { $0.deadline <= now }
            if !late.isEmpty { shared.confirmations.removeAll { $0.deadline <= now } }
            return (answers, moves, shared.state.flow(), positions, late)
        }
        for (continuation, deliveries) in answers { continuation.resume(returning: deliveries) }
        for confirmation in late { confirmation.continuation.resume(returning: false) }
        if !flow.pause.isEmpty { client.pause(flow.pause) }
        if !flow.resume.isEmpty { client.resume(flow.resume) }
        if !positions.isEmpty { commit(positions) }
        let isDirty = !positions.isEmpty
        let isTime = member.shared.withLock { shared in
            if isDirty { shared.cleaning = shared.cleaning ?? now + member.cleanInterval }
            guard let cleaning = shared.cleaning, now >= cleaning else { return false }
            shared.cleaning = nil
            return true
        }
        if isTime { member.removeFinished() }
        if !moves.isEmpty { start(moves) }
    }

    private mutating func commit(_ positions: [KafkaPosition]) {
        commits += 1
        do throws(KafkaFailure) {
            try client.commit(positions)
        } catch {
            committed(error)
        }
    }

    /// Writes copies beside this thread.
    private func start(_ moves: [MemberState.Move]) {
        let member = member
        Task {
            let failures = await member.write(moves)
            let wall = member.wall
            member.shared.withLock { shared in
                for (move, failure) in zip(moves, failures) {
                    shared.state.conclude(move, isWritten: failure == nil, wall: wall)
                }
            }
            if let failure = failures.compactMap({ $0 }).first {
                member.log.logger.warning(
                    "a message could not be moved and stays where it is; it is tried again",
                    metadata: [LogKeys.error: "\(failure)"]
                )
            }
            member.nudge()
        }
    }

    // MARK: - Ending

    /// Commits and waits for the answer, but not for ever.
    private mutating func commitAndWait(_ positions: [KafkaPosition]) {
        let end = now + GroupMember.leaveLimit
        while true {
            commit(positions)
            while commits > 0, now < end {
                // Records cannot come in any more: their partitions are gone.
                if let event = client.poll(for: max(.zero, end - now)) { handle(event) }
            }
            // While the group moves to another coordinator the old one takes nothing. A group that changes its members takes
            // nothing either, and waits for us.
            guard let refusal, refusal.name != "REBALANCE_IN_PROGRESS",
                KafkaErrors.error(refusal, queue: member.settings.queue).code == .unavailable
            else { break }
            let pause = min(.milliseconds(100), end - now)
            guard pause > .zero else { break }
            if let event = client.poll(for: pause) { handle(event) }
        }
        commits = 0
    }

    private mutating func leave() {
        // Settlements and moves that are being written end first; their time is bounded by the producer's.
        let end = now + GroupMember.leaveLimit
        isLeaving = true
        member.shared.withLock { $0.state.isDraining = true }
        while now < end, member.shared.withLock({ $0.state.isSettling || $0.state.isMoving }) {
            if let event = client.poll(for: .milliseconds(20)) { handle(event) }
        }
        awaitRebalance()
        let last = member.shared.withLock { $0.state.release(isLost: $0.lost != nil) }
        if owesUnassign || drainEnd != nil || arriving != nil {
            // A rebalance waits for our answer, and that must come before the membership ends: librdkafka would forget it, and
            // with it who waits for it to be taken. Not subscribing to anything any more keeps it from joining again.
            (owesUnassign, drainEnd, arriving) = (false, nil, nil)
            client.unsubscribe()
            if !last.isEmpty { commitAndWait(last) }
            client.unassign()
            client.leave()
        } else {
            // First of all, so that a commit that the group refuses does not make librdkafka join again; it leaves once the
            // partitions are given back.
            client.leave()
            if !last.isEmpty { commitAndWait(last) }
        }
        refuseConfirmations()
        if owesUnassign { client.unassign() }
        let limit = now + GroupMember.leaveLimit
        while !client.hasLeft, now < limit {
            switch client.poll(for: .milliseconds(100)) {
            case .assigned, .revoked: client.unassign()
            case .log(let line)?: member.log.line(line)
            default: break
            }
        }
    }

    /// Lets a rebalance end that is under way.
    ///
    /// The broker reads nothing from a client whose request to join it has not answered, so what asks to leave would be lost
    /// with the connection, and the others would wait for us until our session is over.
    private mutating func awaitRebalance() {
        let limit = now + GroupMember.rebalanceLimit
        while !isJoined, awaySince == nil, now < limit {
            // What a broker has not heard of keeps nobody from joining.
            let isOver = member.shared.withLock { shared in
                shared.lost != nil || shared.trouble.map { !KafkaErrors.isMissing($0.failure) } ?? false
            }
            if isOver { return }
            if let event = client.poll(for: min(.milliseconds(500), limit - now)) { handle(event) }
        }
    }

    private func end() {
        member.drop()
        let (receivers, ending, joining) = member.shared.withLock { shared in
            shared.hasEnded = true
            shared.state.waiters = []
            defer {
                shared.receivers = [:]
                shared.ending = []
                shared.joining = []
            }
            return (Array(shared.receivers.values), shared.ending, shared.joining)
        }
        for continuation in receivers { continuation.resume(throwing: member.lost ?? member.closed) }
        for continuation in joining { continuation.resume(throwing: member.lost ?? member.closed) }
        for continuation in ending { continuation.resume() }
    }
}
#endif

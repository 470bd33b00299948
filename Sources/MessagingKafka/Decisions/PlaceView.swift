#if Kafka
/// What is known from outside of one partition and one group: what the group has committed there.
struct PlaceView: Sendable {
    /// The lowest offset that may be unfinished.
    let base: Int64
    /// Behind the last record.
    let end: Int64
    let note: CommitNote
    private var finished: OffsetRuns

    /// - Parameters:
    ///   - position: What the group has committed; nothing where it has not.
    ///   - bounds: Where the partition begins and ends.
    ///   - floor: Where the group begins if it has committed nothing.
    ///   - moved: What has gone to another backend, which a member of the group may not have heard yet.
    init(_ position: KafkaPosition?, bounds: Range<Int64>, floor: Int64? = nil, moved: [Range<Int64>] = []) {
        let committed = position.flatMap { $0.offset >= 0 ? $0.offset : nil }
        note = committed.map { CommitNote(position?.metadata, base: $0) } ?? CommitNote()
        base = max(committed ?? floor ?? bounds.lowerBound, bounds.lowerBound)
        end = bounds.upperBound
        finished = note.finished
        for run in moved { finished.insert(run) }
    }

    func isUnfinished(_ offset: Int64) -> Bool { offset >= base && !finished.contains(offset) }

    /// The first offset at or behind another one that may be unfinished.
    func firstUnfinished(from offset: Int64) -> Int64 { finished.firstGap(from: max(offset, base)) }

    /// Whether a consumer may hold a message: it was handed over, and not everything that was has come back.
    func mayBeInFlight(_ offset: Int64) -> Bool { note.isOpen && note.inFlight > 0 && offset <= note.high }
}

/// What has become of the wish to reserve a message.
enum ReservationVerdict: Equatable {
    /// Nobody moves it any more.
    case reserved
    /// A member has it, or had it, before it heard of the wish.
    case gone
    /// The member that has its partition has not said.
    case open

    /// - Parameters:
    ///   - offset: The message.
    ///   - word: Behind the record that says that it is reserved.
    ///   - views: How each group sees its partition; `nil` for a group that the message is not for.
    init(_ offset: Int64, word: Int64, views: [PlaceView?]) {
        if views.contains(where: { $0.map { !$0.isUnfinished(offset) } ?? true }) {
            self = .gone
        } else {
            self = views.allSatisfy { $0.map { $0.note.reservations >= word } ?? false } ? .reserved : .open
        }
    }
}
#endif

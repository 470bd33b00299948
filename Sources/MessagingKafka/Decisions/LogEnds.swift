#if Kafka
/// Tells offsets that a partition cannot have.
///
/// A group that is beyond the end of a partition was there in another topic of that name, or in records that the broker has
/// lost: whoever waited there for the partition to grow would pass over what is new.
enum LogEnds {
    /// The decision, without I/O.
    ///
    /// - Parameters:
    ///   - ends: Where partitions end; one that is missing is not looked at.
    ///   - positions: What a group has committed.
    ///   - floors: Where it began.
    /// - Returns: Both without what is beyond an end, and the partitions in which it has to begin anew.
    static func within(
        _ ends: [TopicPartition: Int64],
        _ positions: [KafkaPosition],
        floors: [TopicPartition: Int64]
    ) -> (positions: [KafkaPosition], floors: [TopicPartition: Int64], lost: [TopicPartition]) {
        var lost: [TopicPartition] = []
        let kept = positions.map { position in
            guard let end = ends[position.place] else { return position }
            let start = position.offset >= 0 ? position.offset : floors[position.place] ?? 0
            guard start > end else { return position }
            lost.append(position.place)
            return KafkaPosition(place: position.place, offset: KafkaPosition.none)
        }
        // What is there now came after the group began.
        return (kept, floors.filter { !lost.contains($0.key) }, lost)
    }
}
#endif

#if Kafka
import CRdKafka

#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#else
import Darwin
#endif

/// librdkafka's lists of partitions, and ours.
enum PartitionList {
    /// Makes a list; the caller destroys it.
    static func make(_ positions: [KafkaPosition]) -> UnsafeMutablePointer<rd_kafka_topic_partition_list_t> {
        // librdkafka ends the process itself when it gets no memory.
        let list = rd_kafka_topic_partition_list_new(Int32(clamping: positions.count))
        for position in positions {
            let element = rd_kafka_topic_partition_list_add(list, position.place.topic, position.place.partition)
            element?.pointee.offset = position.offset
            if let metadata = position.metadata, !metadata.isEmpty {
                // Freed with the list, by free().
                element?.pointee.metadata = UnsafeMutableRawPointer(strdup(metadata))
                element?.pointee.metadata_size = metadata.utf8.count
            }
        }
        rd_kafka_topic_partition_list_sort(list, nil, nil)
        return list.unsafelyUnwrapped
    }

    static func positions(_ list: UnsafePointer<rd_kafka_topic_partition_list_t>?) -> [KafkaPosition] {
        guard let list else { return [] }
        return (0..<Int(list.pointee.cnt)).map { index in
            let element = list.pointee.elems[index]
            let metadata = RecordReader.bytes(element.metadata, element.metadata_size)
            return KafkaPosition(
                place: TopicPartition(topic: String(cString: element.topic), partition: element.partition),
                offset: element.offset,
                metadata: metadata.map { String(decoding: $0, as: UTF8.self) }
            )
        }
    }

    static func positions(
        _ list: UnsafeMutablePointer<rd_kafka_topic_partition_list_t>?
    ) -> [KafkaPosition] {
        positions(UnsafePointer(list))
    }
}
#endif

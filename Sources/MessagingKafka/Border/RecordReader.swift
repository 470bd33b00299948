#if Kafka
import CRdKafka
import Messaging

#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#else
import Darwin
#endif

/// Makes our values of librdkafka's records.
enum RecordReader {
    /// Where records come from.
    struct Spot: Sendable {
        let place: TopicPartition
        /// What messages of other programs are called after.
        let name: String

        init(_ place: TopicPartition) {
            self.place = place
            name = KafkaNames.decoded(place.topic)
        }
    }

    /// Reads a message.
    static func arrival(_ message: UnsafePointer<rd_kafka_message_t>, of spot: Spot) -> Arrival {
        let timestamp = timestamp(message)
        guard let plain = plain(message, of: spot) else {
            return Arrival(record(message), of: spot.place, name: spot.name)
        }
        return Arrival(
            place: spot.place,
            offset: message.pointee.offset,
            timestamp: timestamp,
            content: .message(Parcel(plain, published: timestamp))
        )
    }

    /// Reads what most records are, without the detour over a ``KafkaRecord``: a body, and perhaps a key, an id, a media type
    /// and headers of the application; `nil` for one that has more.
    private static func plain(_ message: UnsafePointer<rd_kafka_message_t>, of spot: Spot) -> Message? {
        guard let body = bytes(message.pointee.payload, message.pointee.len) else { return nil }
        var id = ""
        var (key, contentType): (String?, String?)
        if let pointer = message.pointee.key {
            guard let text = text(pointer, message.pointee.key_len) else { return nil }
            key = text
        }
        var given = MessageHeaders()
        var headers: OpaquePointer?
        if rd_kafka_message_headers(message, &headers) == RD_KAFKA_RESP_ERR_NO_ERROR, let headers {
            for index in 0..<rd_kafka_header_cnt(headers) {
                var name: UnsafePointer<CChar>?
                var value: UnsafeRawPointer?
                var size = 0
                guard rd_kafka_header_get_all(headers, index, &name, &value, &size) == RD_KAFKA_RESP_ERR_NO_ERROR,
                    let name
                else { return nil }
                guard strncmp(name, "mq-", 3) == 0 else {
                    given.set(String(cString: name), bytes(value, size) ?? [])
                    continue
                }
                // An empty value has no pointer; the detour knows what that means.
                guard let value, let text = text(value, size) else { return nil }
                if strcmp(name, "mq-id") == 0 {
                    id = text
                } else if strcmp(name, "mq-content-type") == 0 {
                    contentType = text
                } else {
                    return nil
                }
            }
        }
        // The message of another program is called after its place.
        if id.isEmpty { id = "\(spot.name)/\(message.pointee.partition)/\(message.pointee.offset)" }
        return Message(body: body, id: MessageID(id), key: key, headers: given, contentType: contentType)
    }

    /// Reads a record with all that it has.
    static func record(_ message: UnsafePointer<rd_kafka_message_t>) -> KafkaRecord {
        var payload = KafkaPayload(
            key: bytes(message.pointee.key, message.pointee.key_len),
            value: bytes(message.pointee.payload, message.pointee.len)
        )
        var headers: OpaquePointer?
        if rd_kafka_message_headers(message, &headers) == RD_KAFKA_RESP_ERR_NO_ERROR, let headers {
            let count = rd_kafka_header_cnt(headers)
            payload.headers.reserveCapacity(count)
            for index in 0..<count {
                var name: UnsafePointer<CChar>?
                var value: UnsafeRawPointer?
                var size = 0
                guard rd_kafka_header_get_all(headers, index, &name, &value, &size) == RD_KAFKA_RESP_ERR_NO_ERROR,
                    let name
                else { break }
                payload.headers.append(KafkaHeader(name: String(cString: name), value: bytes(value, size) ?? []))
            }
        }
        return KafkaRecord(
            partition: message.pointee.partition,
            offset: message.pointee.offset,
            timestamp: timestamp(message),
            payload: payload
        )
    }

    private static func timestamp(_ message: UnsafePointer<rd_kafka_message_t>) -> Int64? {
        var type = RD_KAFKA_TIMESTAMP_NOT_AVAILABLE
        let timestamp = rd_kafka_message_timestamp(message, &type)
        return type == RD_KAFKA_TIMESTAMP_NOT_AVAILABLE || timestamp < 0 ? nil : timestamp
    }

    static func bytes(_ pointer: UnsafeRawPointer?, _ count: Int) -> [UInt8]? {
        pointer.map { Array(UnsafeRawBufferPointer(start: $0, count: count)) }
    }

    private static func text(_ pointer: UnsafeRawPointer, _ count: Int) -> String? {
        var text = String(decoding: UnsafeRawBufferPointer(start: pointer, count: count), as: UTF8.self)
        // Bytes that are no text were replaced. Asking for a valid text is slower, and this runs for each message.
        let isSame = text.withUTF8 { read in
            guard read.count == count, let start = read.baseAddress else { return count == 0 }
            return memcmp(start, pointer, count) == 0
        }
        return isSame ? text : nil
    }
}
#endif

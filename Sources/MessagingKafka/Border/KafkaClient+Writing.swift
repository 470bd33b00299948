#if Kafka
import CRdKafka
import Messaging

extension KafkaClient {
    /// Gives records to librdkafka, for partitions that exist; the report of each carries its token.
    ///
    /// - Parameters:
    ///   - work: The records.
    ///   - range: Which of them.
    ///   - token: What the report of the very first of all carries; it counts up from there.
    /// - Returns: What was not taken and will have no report.
    func produce(
        _ work: KafkaPublisher.Work,
        _ range: Range<Int>,
        token: UInt
    ) -> [(index: Int, failure: KafkaFailure)] {
        var refused: [(index: Int, failure: KafkaFailure)] = []
        var last: (name: String, topic: OpaquePointer)?
        for index in range {
            do throws(KafkaFailure) {
                let name = work.topic(index)
                if last?.name != name { last = (name, try topic(name)) }
                guard let topic = last?.topic else { continue }
                switch work {
                case .run(let run):
                    try produce(run.messages[index], to: topic, run.partitions[index], token + UInt(index))
                case .orders(let orders):
                    let partition = orders[index].place.partition
                    try produce(orders[index].payload, to: topic, partition, token + UInt(index))
                }
            } catch {
                refused.append((index, error))
            }
        }
        return refused
    }

    private func produce(
        _ message: Message,
        to topic: OpaquePointer,
        _ partition: Int32,
        _ token: UInt
    ) throws(KafkaFailure) {
        let isTyped = message.contentType != nil
        guard let headers = rd_kafka_headers_new(message.headers.count + (isTyped ? 2 : 1)) else { throw Self.noMemory }
        var code = Self.add(KafkaPayload.idHeader, message.id.rawValue, to: headers)
        if let type = message.contentType, code == RD_KAFKA_RESP_ERR_NO_ERROR {
            code = Self.add(KafkaPayload.typeHeader, type, to: headers)
        }
        for header in message.headers where code == RD_KAFKA_RESP_ERR_NO_ERROR {
            code = Self.add(header.name, header.value, to: headers)
        }
        guard code == RD_KAFKA_RESP_ERR_NO_ERROR else {
            rd_kafka_headers_destroy(headers)
            throw Self.failure(code)
        }
        let sent = Self.withBytes(message.body) { body in
            guard var key = message.key else {
                return produce(UnsafeRawBufferPointer(start: nil, count: 0), body, headers, to: topic, partition, token)
            }
            return key.withUTF8 { bytes in
                let key = UnsafeRawBufferPointer(
                    start: UnsafeRawPointer(bytes.baseAddress) ?? Self.nothing,
                    count: bytes.count
                )
                return produce(key, body, headers, to: topic, partition, token)
            }
        }
        try Self.check(sent)
    }

    private func produce(
        _ payload: KafkaPayload,
        to topic: OpaquePointer,
        _ partition: Int32,
        _ token: UInt
    ) throws(KafkaFailure) {
        let headers = try Self.headers(payload)
        let sent = Self.withBytes(payload.key) { key in
            Self.withBytes(payload.value) { value in produce(key, value, headers, to: topic, partition, token) }
        }
        try Self.check(sent)
    }

    /// Gives one record to librdkafka, and its headers in any case.
    private func produce(
        _ key: UnsafeRawBufferPointer,
        _ value: UnsafeRawBufferPointer,
        _ headers: OpaquePointer?,
        to topic: OpaquePointer,
        _ partition: Int32,
        _ token: UInt
    ) -> rd_kafka_resp_err_t {
        let code = mq_produce(
            handle,
            topic,
            partition,
            key.baseAddress,
            key.count,
            value.baseAddress,
            value.count,
            headers,
            token
        )
        // Headers that were not taken are still ours.
        if code != RD_KAFKA_RESP_ERR_NO_ERROR, let headers { rd_kafka_headers_destroy(headers) }
        return code
    }

    // MARK: - Headers

    private static func headers(_ payload: KafkaPayload) throws(KafkaFailure) -> OpaquePointer? {
        let count = payload.headers.count + (payload.id == nil ? 0 : 1)
        if count == 0 { return nil }
        guard let list = rd_kafka_headers_new(count) else { throw noMemory }
        var code = RD_KAFKA_RESP_ERR_NO_ERROR
        if let id = payload.id { code = add(KafkaPayload.idHeader, id, to: list) }
        for header in payload.headers where code == RD_KAFKA_RESP_ERR_NO_ERROR {
            code = add(header.name, header.value, to: list)
        }
        if code == RD_KAFKA_RESP_ERR_NO_ERROR { return list }
        rd_kafka_headers_destroy(list)
        throw failure(code)
    }

    private static func add(_ name: String, _ value: [UInt8], to list: OpaquePointer) -> rd_kafka_resp_err_t {
        value.withUnsafeBytes { rd_kafka_header_add(list, name, -1, $0.baseAddress ?? nothing, $0.count) }
    }

    private static func add(_ name: StaticString, _ value: String, to list: OpaquePointer) -> rd_kafka_resp_err_t {
        var value = value
        return value.withUTF8 { bytes in
            name.withUTF8Buffer { name in
                name.withMemoryRebound(to: CChar.self) { name in
                    let value = UnsafeRawPointer(bytes.baseAddress) ?? nothing
                    return rd_kafka_header_add(list, name.baseAddress, name.count, value, bytes.count)
                }
            }
        }
    }

    /// What an empty value points to: no pointer at all would be a tombstone.
    // It is never written to, and lives as long as the process.
    nonisolated(unsafe) private static let nothing: UnsafeRawPointer = {
        let byte = UnsafeMutablePointer<UInt8>.allocate(capacity: 1)
        byte.initialize(to: 0)
        return UnsafeRawPointer(byte)
    }()

    private static func withBytes<Result>(_ bytes: [UInt8]?, _ body: (UnsafeRawBufferPointer) -> Result) -> Result {
        guard let bytes else { return body(UnsafeRawBufferPointer(start: nil, count: 0)) }
        if bytes.isEmpty { return body(UnsafeRawBufferPointer(start: nothing, count: 0)) }
        return bytes.withUnsafeBytes(body)
    }
}
#endif

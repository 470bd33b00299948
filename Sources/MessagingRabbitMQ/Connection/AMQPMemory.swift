#if RabbitMQ
import CRabbitMQ

/// Copies what librabbitmq has read out of its memory.
enum AMQPMemory {
    static func bytes(_ bytes: amqp_bytes_t) -> [UInt8] {
        Array(UnsafeRawBufferPointer(start: bytes.bytes, count: bytes.len))
    }

    static func text(_ bytes: amqp_bytes_t) -> String {
        String(decoding: UnsafeRawBufferPointer(start: bytes.bytes, count: bytes.len), as: UTF8.self)
    }

    static func properties(_ raw: amqp_basic_properties_t) -> AMQPProperties {
        func text(_ flag: Int32, _ bytes: amqp_bytes_t) -> String? {
            raw._flags & UInt32(flag) == 0 ? nil : AMQPMemory.text(bytes)
        }
        var properties = AMQPProperties()
        properties.contentType = text(AMQP_BASIC_CONTENT_TYPE_FLAG, raw.content_type)
        properties.contentEncoding = text(AMQP_BASIC_CONTENT_ENCODING_FLAG, raw.content_encoding)
        properties.correlationID = text(AMQP_BASIC_CORRELATION_ID_FLAG, raw.correlation_id)
        properties.replyTo = text(AMQP_BASIC_REPLY_TO_FLAG, raw.reply_to)
        properties.messageID = text(AMQP_BASIC_MESSAGE_ID_FLAG, raw.message_id)
        properties.type = text(AMQP_BASIC_TYPE_FLAG, raw.type)
        properties.appID = text(AMQP_BASIC_APP_ID_FLAG, raw.app_id)
        if raw._flags & UInt32(AMQP_BASIC_TIMESTAMP_FLAG) != 0 { properties.timestamp = raw.timestamp }
        if raw._flags & UInt32(AMQP_BASIC_HEADERS_FLAG) != 0 { properties.headers = table(raw.headers) }
        return properties
    }

    static func table(_ raw: amqp_table_t) -> AMQPTable {
        UnsafeBufferPointer(start: raw.entries, count: Int(raw.num_entries)).map { entry in
            AMQPHeader(text(entry.key), value(entry.value))
        }
    }

    static func value(_ raw: amqp_field_value_t) -> AMQPValue {
        let kind = raw.kind
        switch kind {
        case UInt8(ascii: "S"): return .text(bytes(raw.value.bytes))
        case UInt8(ascii: "x"): return .bytes(bytes(raw.value.bytes))
        case UInt8(ascii: "t"): return .bool(raw.value.boolean != 0)
        case UInt8(ascii: "b"): return .number(Int64(raw.value.i8), kind: kind)
        case UInt8(ascii: "B"): return .number(Int64(raw.value.u8), kind: kind)
        case UInt8(ascii: "s"): return .number(Int64(raw.value.i16), kind: kind)
        case UInt8(ascii: "u"): return .number(Int64(raw.value.u16), kind: kind)
        case UInt8(ascii: "I"): return .number(Int64(raw.value.i32), kind: kind)
        case UInt8(ascii: "i"): return .number(Int64(raw.value.u32), kind: kind)
        case UInt8(ascii: "l"), UInt8(ascii: "L"): return .number(raw.value.i64, kind: UInt8(ascii: "l"))
        case UInt8(ascii: "f"): return .double(Double(raw.value.f32), kind: kind)
        case UInt8(ascii: "d"): return .double(raw.value.f64, kind: kind)
        case UInt8(ascii: "D"): return .decimal(places: raw.value.decimal.decimals, value: raw.value.decimal.value)
        case UInt8(ascii: "T"): return .timestamp(raw.value.u64)
        case UInt8(ascii: "F"): return .table(table(raw.value.table))
        case UInt8(ascii: "A"):
            let array = raw.value.array
            return .array(UnsafeBufferPointer(start: array.entries, count: Int(array.num_entries)).map(value))
        default: return .void
        }
    }
}
#endif

#if RabbitMQ
import CRabbitMQ

/// Memory for the arguments of one call, used again by the next.
struct Arena: ~Copyable {
    private var block = UnsafeMutableRawBufferPointer.allocate(byteCount: 16 << 10, alignment: 16)
    private var used = 0
    /// What did not fit.
    private var extra: [UnsafeMutableRawPointer] = []

    deinit {
        for pointer in extra { pointer.deallocate() }
        block.deallocate()
    }

    mutating func reset() {
        used = 0
        for pointer in extra { pointer.deallocate() }
        extra.removeAll(keepingCapacity: true)
    }

    private mutating func allocate(_ count: Int) -> UnsafeMutableRawPointer {
        let size = (max(count, 1) + 15) & ~15
        if used + size <= block.count, let base = block.baseAddress {
            defer { used += size }
            return base + used
        }
        let pointer = UnsafeMutableRawPointer.allocate(byteCount: size, alignment: 16)
        extra.append(pointer)
        return pointer
    }

    mutating func copy(_ text: String) -> amqp_bytes_t {
        var text = text
        return text.withUTF8 { copy(UnsafeRawBufferPointer($0)) }
    }

    private mutating func copy(_ bytes: UnsafeRawBufferPointer) -> amqp_bytes_t {
        let pointer = allocate(bytes.count)
        UnsafeMutableRawBufferPointer(start: pointer, count: bytes.count).copyMemory(from: bytes)
        return amqp_bytes_t(len: bytes.count, bytes: pointer)
    }

    mutating func table(_ table: AMQPTable) -> amqp_table_t {
        if table.isEmpty { return amqp_table_t(num_entries: 0, entries: nil) }
        let entries = allocate(table.count * MemoryLayout<amqp_table_entry_t>.stride)
            .bindMemory(to: amqp_table_entry_t.self, capacity: table.count)
        for (index, header) in table.enumerated() {
            (entries + index).initialize(
                to: amqp_table_entry_t(key: copy(header.name), value: value(header.value))
            )
        }
        return amqp_table_t(num_entries: Int32(clamping: table.count), entries: entries)
    }

    private mutating func value(_ value: AMQPValue) -> amqp_field_value_t {
        var raw = amqp_field_value_t()
        switch value {
        case .text(let bytes):
            raw.kind = UInt8(ascii: "S")
            raw.value.bytes = bytes.withUnsafeBytes { copy($0) }
        case .bytes(let bytes):
            raw.kind = UInt8(ascii: "x")
            raw.value.bytes = bytes.withUnsafeBytes { copy($0) }
        case .bool(let isTrue):
            raw.kind = UInt8(ascii: "t")
            raw.value.boolean = isTrue ? 1 : 0
        case .number(let number, let kind):
            raw.kind = kind
            switch kind {
            case UInt8(ascii: "b"): raw.value.i8 = Int8(clamping: number)
            case UInt8(ascii: "B"): raw.value.u8 = UInt8(clamping: number)
            case UInt8(ascii: "s"): raw.value.i16 = Int16(clamping: number)
            case UInt8(ascii: "u"): raw.value.u16 = UInt16(clamping: number)
            case UInt8(ascii: "I"): raw.value.i32 = Int32(clamping: number)
            case UInt8(ascii: "i"): raw.value.u32 = UInt32(clamping: number)
            default:
                raw.kind = UInt8(ascii: "l")
                raw.value.i64 = number
            }
        case .double(let number, let kind):
            raw.kind = kind
            if kind == UInt8(ascii: "f") { raw.value.f32 = Float(number) } else { raw.value.f64 = number }
        case .decimal(let places, let number):
            raw.kind = UInt8(ascii: "D")
            raw.value.decimal = amqp_decimal_t(decimals: places, value: number)
        case .timestamp(let seconds):
            raw.kind = UInt8(ascii: "T")
            raw.value.u64 = seconds
        case .void: raw.kind = UInt8(ascii: "V")
        case .table(let entries):
            raw.kind = UInt8(ascii: "F")
            raw.value.table = table(entries)
        case .array(let values):
            raw.kind = UInt8(ascii: "A")
            let entries = allocate(values.count * MemoryLayout<amqp_field_value_t>.stride)
                .bindMemory(to: amqp_field_value_t.self, capacity: max(values.count, 1))
            for (index, element) in values.enumerated() { (entries + index).initialize(to: self.value(element)) }
            raw.value.array = amqp_array_t(num_entries: Int32(clamping: values.count), entries: entries)
        }
        return raw
    }

    mutating func properties(_ properties: AMQPProperties) -> amqp_basic_properties_t {
        var raw = amqp_basic_properties_t()
        // 2 is persistent.
        raw.delivery_mode = 2
        var flags = AMQP_BASIC_DELIVERY_MODE_FLAG
        if let text = properties.contentType {
            raw.content_type = copy(text)
            flags |= AMQP_BASIC_CONTENT_TYPE_FLAG
        }
        if let text = properties.contentEncoding {
            raw.content_encoding = copy(text)
            flags |= AMQP_BASIC_CONTENT_ENCODING_FLAG
        }
        if let text = properties.correlationID {
            raw.correlation_id = copy(text)
            flags |= AMQP_BASIC_CORRELATION_ID_FLAG
        }
        if let text = properties.replyTo {
            raw.reply_to = copy(text)
            flags |= AMQP_BASIC_REPLY_TO_FLAG
        }
        if let text = properties.messageID {
            raw.message_id = copy(text)
            flags |= AMQP_BASIC_MESSAGE_ID_FLAG
        }
        if let text = properties.type {
            raw.type = copy(text)
            flags |= AMQP_BASIC_TYPE_FLAG
        }
        if let text = properties.appID {
            raw.app_id = copy(text)
            flags |= AMQP_BASIC_APP_ID_FLAG
        }
        if let seconds = properties.timestamp {
            raw.timestamp = seconds
            flags |= AMQP_BASIC_TIMESTAMP_FLAG
        }
        if !properties.headers.isEmpty {
            raw.headers = table(properties.headers)
            flags |= AMQP_BASIC_HEADERS_FLAG
        }
        raw._flags = UInt32(flags)
        return raw
    }
}
#endif

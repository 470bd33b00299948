#if RabbitMQ
import CRabbitMQ

/// Frames of published messages that go to the socket together: librabbitmq would write each frame by itself, three for a
/// message.
struct PublishBuffer: ~Copyable {
    /// With so much in it, it is written.
    private static let enough = 64 << 10
    /// What a method frame takes at most: two names and a few numbers.
    private static let methodRoom = 1024
    /// Type, channel and length in front of a frame, and a byte behind it.
    private static let frameOverhead = 8
    /// Class, weight and length of the body in front of the properties.
    private static let headerOverhead = 12
    private static let frameEnd: UInt8 = 0xCE

    private let bytes: UnsafeMutableRawBufferPointer
    private let frameMax: Int
    private let channel: UInt16
    private var used = 0
    /// The frame of the last method: most messages go where the last one went.
    private var method: (exchange: String, routingKey: String, frame: [UInt8])?

    /// Creates an empty buffer.
    ///
    /// - Parameters:
    ///   - frameMax: The largest frame that the broker takes.
    ///   - channel: The channel's number.
    init(frameMax: Int, channel: UInt16) {
        // Both sides agreed on at most the 128 KiB that this one asked for, and the protocol has 4 KiB as the least.
        self.frameMax = min(max(frameMax, 4096), 131072)
        self.channel = channel
        bytes = .allocate(byteCount: Self.enough + Self.methodRoom + 2 * self.frameMax, alignment: 16)
    }

    deinit { bytes.deallocate() }

    var isEmpty: Bool { used == 0 }
    /// Whether it must be written before a message or a part of a body is added.
    var isFull: Bool { used >= Self.enough }
    /// How much of a body fits into one frame.
    var chunk: Int { frameMax - Self.frameOverhead }

    /// What is in it; it is empty afterwards, however writing ends.
    mutating func take<Failure: Error>(
        _ write: (UnsafeRawBufferPointer) throws(Failure) -> Void
    ) throws(Failure) {
        let full = UnsafeRawBufferPointer(rebasing: bytes[..<used])
        used = 0
        try write(full)
    }

    /// Adds what a message begins with.
    ///
    /// - Returns: Whether it was added; not when a name or the properties are larger than the protocol or a frame allows.
    mutating func begin(_ message: OutgoingMessage, _ arena: inout Arena) -> Bool {
        let (exchange, routingKey) = (message.exchange, message.routingKey)
        if method?.exchange != exchange || method?.routingKey != routingKey {
            guard exchange.utf8.count <= 255, routingKey.utf8.count <= 255 else { return false }
            method = (exchange, routingKey, methodFrame(exchange, routingKey))
        }
        arena.reset()
        var properties = arena.properties(message.properties)
        let start = used
        if let frame = method?.frame {
            frame.withUnsafeBytes { UnsafeMutableRawBufferPointer(rebasing: bytes[used...]).copyMemory(from: $0) }
            used += frame.count
        }
        let room = frameMax - Self.frameOverhead - Self.headerOverhead
        let place = used + 7 + Self.headerOverhead
        let encoded = amqp_bytes_t(len: room, bytes: bytes.baseAddress.map { $0 + place })
        let size = amqp_encode_properties(UInt16(AMQP_BASIC_CLASS), &properties, encoded)
        guard size >= 0 else {
            used = start
            return false
        }
        let bodySize = UInt64(message.body.count)
        frame(UInt8(AMQP_FRAME_HEADER), size: Self.headerOverhead + Int(size)) { bytes, place in
            bytes.storeBytes(of: UInt16(AMQP_BASIC_CLASS).bigEndian, toByteOffset: place, as: UInt16.self)
            bytes.storeBytes(of: 0, toByteOffset: place + 2, as: UInt16.self)
            bytes.storeBytes(of: bodySize.bigEndian, toByteOffset: place + 4, as: UInt64.self)
        }
        return true
    }

    /// Adds a part of the body, of at most ``chunk`` bytes.
    mutating func add(_ part: UnsafeRawBufferPointer) {
        frame(UInt8(AMQP_FRAME_BODY), size: part.count) { bytes, place in
            UnsafeMutableRawBufferPointer(rebasing: bytes[place...]).copyMemory(from: part)
        }
    }

    private mutating func frame(
        _ type: UInt8,
        size: Int,
        _ fill: (UnsafeMutableRawBufferPointer, _ place: Int) -> Void
    ) {
        bytes[used] = type
        bytes.storeBytes(of: channel.bigEndian, toByteOffset: used + 1, as: UInt16.self)
        bytes.storeBytes(of: UInt32(size).bigEndian, toByteOffset: used + 3, as: UInt32.self)
        fill(bytes, used + 7)
        bytes[used + 7 + size] = Self.frameEnd
        used += size + Self.frameOverhead
    }

    private func methodFrame(_ exchange: String, _ routingKey: String) -> [UInt8] {
        // basic.publish, and two bytes that are no longer used.
        var arguments: [UInt8] = [0, 60, 0, 40, 0, 0]
        for name in [exchange, routingKey] {
            arguments.append(UInt8(name.utf8.count))
            arguments += name.utf8
        }
        // Mandatory: what reaches no queue comes back.
        arguments.append(1)
        var frame: [UInt8] = [UInt8(AMQP_FRAME_METHOD), UInt8(channel >> 8), UInt8(channel & 0xFF), 0, 0]
        frame += [UInt8(arguments.count >> 8), UInt8(arguments.count & 0xFF)]
        return frame + arguments + [Self.frameEnd]
    }
}
#endif

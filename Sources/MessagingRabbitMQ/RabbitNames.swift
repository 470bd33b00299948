#if RabbitMQ
/// What queues, groups and their parts are called on the broker.
///
/// Names of this library contain no `@`, so different ones never meet. AMQP takes 255 bytes: what would be longer is cut
/// and ends in a digest.
enum RabbitNames {
    /// Room for the 28 words of the delay levels in front of a name, in one routing key.
    private static let longest = 190

    /// The records of all declared queues.
    static let registry = "mq@queues"

    /// The exchange that producers publish to.
    static func exchange(_ queue: String) -> String { shortened("mq.\(queue)") }

    /// The exchange that producers publish to what is due later.
    static func later(_ queue: String) -> String { shortened("mq.\(queue)@later") }

    /// The queue of a group; a plain publish to it is a message of this group alone.
    static func group(_ queue: String, _ group: String) -> String { shortened("mq.\(queue)@\(group)") }

    /// The dead letters of a group.
    static func dead(_ queue: String, _ group: String) -> String { shortened("mq.\(queue)@\(group)@dlq") }

    /// The exchange of a lane of a keyed queue.
    static func exchange(_ queue: String, lane: Int) -> String { shortened("mq.\(queue)", "@lane@\(lane)") }

    /// The queue of a lane of a group of a keyed queue.
    static func group(_ queue: String, _ group: String, lane: Int) -> String {
        shortened("mq.\(queue)@\(group)", "@lane@\(lane)")
    }

    /// What the consumers of a group of a keyed queue leave for each other.
    static func notes(_ queue: String, _ group: String) -> String { shortened("mq.\(queue)@\(group)", "@notes") }

    /// Where the consumers of a group of a keyed queue are counted.
    static func members(_ queue: String, _ group: String) -> String { shortened("mq.\(queue)@\(group)", "@members") }

    private static func shortened(_ name: String, _ end: String) -> String { shortened(name + end) }

    private static func shortened(_ name: String) -> String {
        let bytes = Array(name.utf8)
        if bytes.count <= longest { return name }
        let digest =
            hexadecimal(hash(bytes, seed: 0xCBF2_9CE4_8422_2325)) + hexadecimal(hash(bytes.reversed(), seed: 0x9E37))
        return String(decoding: bytes.prefix(longest - 34), as: UTF8.self) + "@@" + digest
    }

    /// FNV-1a, 64 bits (Fowler, Noll, Vo).
    static func hash(_ bytes: some Sequence<UInt8>, seed: UInt64 = 0xCBF2_9CE4_8422_2325) -> UInt64 {
        bytes.reduce(seed) { ($0 ^ UInt64($1)) &* 0x100_0000_01B3 }
    }

    static func hexadecimal(_ number: UInt64) -> String {
        let digits = String(number, radix: 16)
        return String(repeating: "0", count: 16 - digits.count) + digits
    }
}
#endif

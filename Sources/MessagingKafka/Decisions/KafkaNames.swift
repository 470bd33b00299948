#if Kafka
/// The topics and groups on the broker that belong to a queue.
///
/// Kafka allows letters, digits, `.`, `_` and `-` in a topic's name, at most 249, and takes `.` and `_` for the same when
/// it looks for collisions. So `_` is never part of an encoded name, and what Kafka forbids is written as `-` and two
/// hexadecimal digits; a `-` that would be read as such is written as `-2D`. No queue's name begins with `_`, so no
/// queue can be called like a topic of ours.
package enum KafkaNames {
    /// The settings of all queues.
    package static let registry = "_mq.registry"

    static func main(_ queue: String) -> String { fitted("", encoded(queue)) }
    static func scheduled(_ queue: String) -> String { fitted("_mq.scheduled.", encoded(queue)) }
    static func deadLetters(_ queue: String) -> String { fitted("_mq.dlq.", encoded(queue)) }
    static func deadLetterStates(_ queue: String) -> String { fitted("_mq.dlq-state.", encoded(queue)) }
    static func reservations(_ queue: String) -> String { fitted(reservationPrefix, encoded(queue)) }
    static func retry(_ queue: String, _ group: String) -> String { fitted("_mq.retry.", pair(queue, group)) }
    static func delay(_ queue: String, _ group: String) -> String { fitted("_mq.delay.", pair(queue, group)) }
    /// A group's id is free text on the broker; `@` is in no name.
    static func group(_ queue: String, _ group: String) -> String { "mq.\(queue)@\(group)" }

    private static let reservationPrefix = "_mq.reserved."

    /// Whether a topic has words for members instead of messages.
    static func isWords(_ topic: String) -> Bool { topic == registry || topic.hasPrefix(reservationPrefix) }

    /// Escapes that are read as such wherever they stand; `40` is the `@` between a group and its queue.
    private static let escapes: [String: Character] = ["2D": "-", "2F": "/", "3A": ":", "5F": "_", "40": "@"]
    private static let codes: [Character: String] = ["/": "2F", ":": "3A", "_": "5F"]
    private static let maxLength = 249

    private static func pair(_ queue: String, _ group: String) -> String { encoded(group) + "-40" + encoded(queue) }

    static func encoded(_ name: String) -> String {
        var result = ""
        var rest = name[...]
        while let character = rest.popFirst() {
            if let code = codes[character] {
                result += "-" + code
            } else if character == "-", escapes[String(rest.prefix(2))] != nil {
                result += "-2D"
            } else {
                result.append(character)
            }
        }
        return result
    }

    static func decoded(_ topic: String) -> String {
        var result = ""
        var rest = topic[...]
        while let character = rest.popFirst() {
            if character == "-", let plain = escapes[String(rest.prefix(2))] {
                result.append(plain)
                rest = rest.dropFirst(2)
            } else {
                result.append(character)
            }
        }
        return result
    }

    /// A name that is too long keeps its beginning and gets a digest; the registry has it in full.
    private static func fitted(_ prefix: String, _ name: String) -> String {
        let whole = prefix + name
        guard whole.utf8.count > maxLength else { return whole }
        var digest = ""
        for seed in [0xCBF2_9CE4_8422_2325, 0x6C62_272E_07BB_0142] as [UInt64] {
            var hash = seed
            for byte in whole.utf8 { hash = (hash ^ UInt64(byte)) &* 0x100_0000_01B3 }
            let text = String(hash, radix: 16)
            digest += String(repeating: "0", count: 16 - text.count) + text
        }
        return String(whole.prefix(maxLength - digest.count - 1)) + "." + digest
    }
}
#endif

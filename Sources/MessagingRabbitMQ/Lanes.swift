#if RabbitMQ
import Messaging

/// The lanes of a keyed queue, without I/O.
///
/// A lane is a queue of each group that the broker hands to one consumer at a time. Messages of one key share a lane, so
/// their order is that of the lane; which keys wait is decided by the consumer that has it.
enum Lanes {
    /// How many lanes a queue may have.
    static let possible = 1...64
    /// How many messages of a lane its consumer may have: a key that waits holds up no other as long as fewer of its
    /// messages follow it.
    static let window = 32

    /// The lane of a message; `nil` where there are none.
    ///
    /// A message without a key has that of its id.
    static func lane(of message: Message, among count: Int) -> Int? {
        if count == 0 { return nil }
        let hash = RabbitNames.hash((message.key ?? message.id.rawValue).utf8)
        // The upper half has seen all bytes more thoroughly than the lower one.
        return Int((hash ^ (hash >> 32)) % UInt64(count))
    }

    /// What a consumer knows of a lane that it is subscribed to.
    struct Share: Sendable, Equatable {
        var lane: Int
        /// Whether a message of the lane has come since: only then the lane is certainly its own.
        var isOwn: Bool
        /// How many messages of it are here.
        var count: Int
        /// How many of them somebody has in hands.
        var held: Int
    }

    /// Decides which lanes a consumer leaves to others.
    ///
    /// One that nobody asks keeps nothing that it can leave, by halves, so that others who alternate with it keep theirs. One
    /// that is asked leaves what is more than its share.
    ///
    /// - Parameters:
    ///   - shares: The lanes that it is subscribed to.
    ///   - consumers: How many consumers are subscribed, this one included.
    ///   - lanes: How many lanes there are.
    ///   - isIdle: Whether nobody has asked it for some time.
    /// - Returns: The lanes.
    static func surplus(_ shares: [Share], consumers: Int, lanes: Int, isIdle: Bool) -> [Int] {
        guard consumers > 1 else { return [] }
        if isIdle {
            let empty = shares.filter { $0.count == 0 }.map(\.lane)
            let full = shares.filter { $0.count > 0 && $0.held == 0 }.map(\.lane)
            return empty + full.prefix((full.count + 1) / 2)
        }
        let own = shares.filter(\.isOwn)
        let more = own.count - (lanes + consumers - 1) / consumers
        guard more > 0 else { return [] }
        return own.sorted { ($0.held, $0.count, $0.lane) < ($1.held, $1.count, $1.lane) }.prefix(more).map(\.lane)
    }
}
#endif

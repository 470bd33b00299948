#if RabbitMQ
import Messaging

/// Which of the broker's queues and exchanges a queue's messages go to, without I/O.
struct TransferRoutes: Sendable {
    /// Whom a destination behind the delay levels belongs to.
    enum Owner: Sendable, Equatable {
        case everybody
        case group(String)
    }

    let queue: String
    let groups: [String]
    /// 0 for a queue that is not keyed.
    let lanes: Int
    private let owners: [String: Owner]

    init(_ queue: String, groups: [String], lanes: Int) {
        (self.queue, self.groups, self.lanes) = (queue, groups, lanes)
        var owners: [String: Owner] = [RabbitNames.exchange(queue): .everybody]
        for lane in 0..<lanes { owners[RabbitNames.exchange(queue, lane: lane)] = .everybody }
        for group in groups {
            for name in Topology.work(queue, group, lanes: lanes) { owners[name] = .group(group) }
        }
        self.owners = owners
    }

    /// Whom a destination belongs to; `nil` when it is another queue's.
    func owner(of destination: String) -> Owner? { owners[destination] }

    /// The queue in which a message waits for a group.
    func work(_ message: Message, _ group: String) -> String {
        Lanes.lane(of: message, among: lanes).map { RabbitNames.group(queue, group, lane: $0) }
            ?? RabbitNames.group(queue, group)
    }

    /// The exchange by which a message goes to all groups.
    func exchange(_ message: Message) -> String {
        Lanes.lane(of: message, among: lanes).map { RabbitNames.exchange(queue, lane: $0) }
            ?? RabbitNames.exchange(queue)
    }
}
#endif

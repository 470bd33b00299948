#if RabbitMQ
import Messaging

/// How a queue is closed for publications: without its bindings the broker sends them back.
///
/// What is due later comes by the exchange behind the levels. While the queue is open that leads to the queue's own
/// exchange, and while it is closed to the groups.
extension Topology {
    /// The exchange for what is due later.
    static func later(_ queue: String) -> [AMQPMethod] {
        let name = RabbitNames.later(queue)
        return [.exchangeDeclare(name, type: "fanout"), .exchangeBind(DelayPlan.top, source: name, key: "")]
    }

    /// An exchange that lets publications in.
    struct Inlet {
        var exchange: String
        /// The queues behind it, one of each group.
        var queues: [String]
        /// Whether they are bound to it; what other programs publish to a keyed queue's own goes by that of its first lane.
        var isDirect = true
    }

    static func inlets(_ queue: String, groups: [String], lanes: Int) -> [Inlet] {
        let own = RabbitNames.exchange(queue)
        if lanes == 0 { return [Inlet(exchange: own, queues: groups.map { RabbitNames.group(queue, $0) })] }
        func queues(_ lane: Int) -> [String] { groups.map { RabbitNames.group(queue, $0, lane: lane) } }
        return [Inlet(exchange: own, queues: queues(0), isDirect: false)]
            + (0..<lanes).map { Inlet(exchange: RabbitNames.exchange(queue, lane: $0), queues: queues($0)) }
    }

    /// Methods without those that let publications in.
    static func withoutIntake(_ methods: [AMQPMethod], of queue: String, lanes: Int) -> [AMQPMethod] {
        let names = Set(inlets(queue, groups: [], lanes: lanes).map(\.exchange))
        let later = RabbitNames.later(queue)
        return methods.filter { method in
            switch method {
            case .queueBind(_, let exchange, _): !names.contains(exchange)
            // That of a keyed queue's own to the first lane's lets nothing in while that one leads nowhere.
            case .exchangeBind(let target, let source, _):
                source != later && (source != DelayPlan.out || !names.contains(target))
            default: true
            }
        }
    }

    /// What the groups of a closed queue are bound to instead.
    static func closed(_ queue: String, groups: [String], lanes: Int) -> [AMQPMethod] {
        inlets(queue, groups: groups, lanes: lanes).flatMap { inlet in
            inlet.queues.map { .queueBind($0, exchange: DelayPlan.out, key: DelayPlan.binding(inlet.exchange)) }
        }
    }

    /// What closes a queue, or opens it again.
    ///
    /// What is due meanwhile must always have a way, so the new one is made before the old one is removed.
    static func intake(_ queue: String, groups: [String], lanes: Int, isOpen: Bool) -> [AMQPMethod] {
        let (inlets, later) = (inlets(queue, groups: groups, lanes: lanes), RabbitNames.later(queue))
        let (direct, out) = (inlets.filter(\.isDirect), DelayPlan.out)
        if isOpen {
            return direct.flatMap { inlet in
                inlet.queues.map { .queueBind($0, exchange: inlet.exchange, key: "#") }
            }
                + inlets.map { .exchangeBind($0.exchange, source: out, key: DelayPlan.binding($0.exchange)) }
                + inlets.flatMap { inlet in
                    inlet.queues.map { .queueUnbind($0, exchange: out, key: DelayPlan.binding(inlet.exchange)) }
                }
                + self.later(queue)
        }
        return [.exchangeDeclare(later, type: "fanout"), .exchangeUnbind(DelayPlan.top, source: later, key: "")]
            + closed(queue, groups: groups, lanes: lanes)
            + inlets.map { .exchangeUnbind($0.exchange, source: out, key: DelayPlan.binding($0.exchange)) }
            + direct.flatMap { inlet in
                inlet.queues.map { .queueUnbind($0, exchange: inlet.exchange, key: "#") }
            }
    }
}
#endif

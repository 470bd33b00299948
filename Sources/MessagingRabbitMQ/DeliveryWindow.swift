#if RabbitMQ
/// The deliveries of one channel that the broker waits for, and how they are acknowledged in few words.
///
/// A tag of one number acknowledges itself, one with `multiple` everything up to it, so that is only used where nothing
/// below is unfinished.
struct DeliveryWindow: Sendable {
    /// An acknowledgement as it is sent.
    struct Acknowledgement: Sendable, Equatable {
        var tag: UInt64
        var multiple: Bool
    }

    /// The lowest tag that may be unfinished.
    private var lowest: UInt64 = 1
    /// The highest tag that has come.
    private var highest: UInt64 = 0
    /// Finished tags above `lowest`.
    private var finished: Set<UInt64> = []
    /// Finished and not acknowledged yet.
    private var waiting: [UInt64] = []
    private(set) var outstanding = 0
    /// The first tag of the current subscription, and how many of its deliveries the broker holds to be out.
    private var mark: UInt64 = 1
    private(set) var marked = 0

    /// How many deliveries of the current subscription are finished and not acknowledged.
    var markedWaiting: Int { waiting.count { $0 >= mark } }

    /// Begins to count for a new subscription.
    mutating func setMark() {
        mark = highest + 1
        marked = 0
    }

    /// Notes a delivery; tags come in order.
    mutating func delivered(_ tag: UInt64) {
        highest = max(highest, tag)
        outstanding += 1
        if tag >= mark { marked += 1 }
    }

    /// Notes that a delivery is to be acknowledged.
    mutating func finish(_ tag: UInt64) {
        guard isOpen(tag) else { return }
        waiting.append(tag)
        finished.insert(tag)
        outstanding -= 1
    }

    /// Notes that a delivery was given back, which is said of each by itself.
    mutating func giveBack(_ tag: UInt64) {
        guard isOpen(tag) else { return }
        finished.insert(tag)
        outstanding -= 1
        if tag >= mark { marked -= 1 }
    }

    private func isOpen(_ tag: UInt64) -> Bool { tag >= lowest && tag <= highest && !finished.contains(tag) }

    /// Returns what has to be sent for everything that is finished.
    mutating func takeAcknowledgements() -> [Acknowledgement] {
        while finished.remove(lowest) != nil { lowest += 1 }
        if waiting.isEmpty { return [] }
        var result: [Acknowledgement] = []
        var below: (count: Int, tag: UInt64) = (0, 0)
        for tag in waiting {
            if tag < lowest {
                below = (below.count + 1, max(below.tag, tag))
            } else {
                result.append(Acknowledgement(tag: tag, multiple: false))
            }
        }
        if below.count > 0 { result.insert(Acknowledgement(tag: below.tag, multiple: below.count > 1), at: 0) }
        marked -= markedWaiting
        waiting.removeAll(keepingCapacity: true)
        return result
    }
}
#endif

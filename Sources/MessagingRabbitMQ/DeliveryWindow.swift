#if RabbitMQ
import DequeModule

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

    private enum Step: UInt8, Sendable {
        case open
        /// Finished, and not acknowledged yet.
        case waiting
        case done
    }

    /// The lowest tag that may be unfinished.
    private var lowest: UInt64 = 1
    /// Where the tags from `lowest` on stand.
    private var steps = Deque<Step>()
    /// Finished and not acknowledged yet.
    private var waiting: [UInt64] = []
    private(set) var outstanding = 0
    /// The first tag of the current subscription, and how many of its deliveries the broker holds to be out.
    private var mark: UInt64 = 1
    private(set) var marked = 0
    /// How many deliveries of the current subscription are finished and not acknowledged.
    private(set) var markedWaiting = 0

    /// How many deliveries are finished and not acknowledged.
    var waitingCount: Int { waiting.count }

    private var next: UInt64 { lowest + UInt64(steps.count) }

    /// Begins to count for a new subscription.
    mutating func setMark() {
        mark = next
        (marked, markedWaiting) = (0, 0)
    }

    /// Notes a delivery; tags come in order.
    mutating func delivered(_ tag: UInt64) {
        guard tag >= next else { return }
        while next < tag { steps.append(.done) }
        steps.append(.open)
        outstanding += 1
        if tag >= mark { marked += 1 }
    }

    /// Notes that a delivery is to be acknowledged.
    mutating func finish(_ tag: UInt64) {
        guard end(tag, .waiting) else { return }
        waiting.append(tag)
        if tag >= mark { markedWaiting += 1 }
    }

    /// Notes that a delivery was given back, which is said of each by itself.
    mutating func giveBack(_ tag: UInt64) {
        if end(tag, .done), tag >= mark { marked -= 1 }
    }

    /// Takes a step with a delivery; returns whether it was open.
    private mutating func end(_ tag: UInt64, _ step: Step) -> Bool {
        guard tag >= lowest, tag < next else { return false }
        let index = Int(tag - lowest)
        guard steps[index] == .open else { return false }
        steps[index] = step
        outstanding -= 1
        return true
    }

    /// Returns what has to be sent for everything that is finished.
    mutating func takeAcknowledgements() -> [Acknowledgement] {
        var below: (count: Int, tag: UInt64) = (0, 0)
        while let first = steps.first, first != .open {
            if first == .waiting { below = (below.count + 1, lowest) }
            steps.removeFirst()
            lowest += 1
        }
        if waiting.isEmpty { return [] }
        var result: [Acknowledgement] = []
        if below.count > 0 { result.append(Acknowledgement(tag: below.tag, multiple: below.count > 1)) }
        if below.count < waiting.count {
            for tag in waiting where tag >= lowest {
                steps[Int(tag - lowest)] = .done
                result.append(Acknowledgement(tag: tag, multiple: false))
            }
        }
        marked -= markedWaiting
        markedWaiting = 0
        waiting.removeAll(keepingCapacity: true)
        return result
    }
}
#endif

/// A min-heap, in which elements that arrive in order, the usual case for deadlines, cost one comparison each.
struct BinaryHeap<Element: Comparable & Sendable>: Sendable {
    private var elements: [Element] = []

    var count: Int { elements.count }
    var isEmpty: Bool { elements.isEmpty }
    var min: Element? { elements.first }
    /// In no order.
    var all: [Element] { elements }

    mutating func insert(_ element: Element) {
        elements.append(element)
        var child = elements.count - 1
        while child > 0 {
            let parent = (child - 1) / 2
            guard elements[child] < elements[parent] else { return }
            elements.swapAt(child, parent)
            child = parent
        }
    }

    @discardableResult
    mutating func popMin() -> Element? {
        guard let last = elements.indices.last else { return nil }
        elements.swapAt(0, last)
        let least = elements.removeLast()
        siftDown(from: 0)
        return least
    }

    /// Removes what a condition does not hold for, in linear time.
    mutating func keep(_ condition: (Element) -> Bool) {
        elements.removeAll { !condition($0) }
        for index in stride(from: elements.count / 2 - 1, through: 0, by: -1) { siftDown(from: index) }
    }

    private mutating func siftDown(from start: Int) {
        var parent = start
        while true {
            var least = parent
            for child in [2 * parent + 1, 2 * parent + 2] where child < elements.count {
                if elements[child] < elements[least] { least = child }
            }
            guard least != parent else { return }
            elements.swapAt(parent, least)
            parent = least
        }
    }
}

/// When something with a number is due.
struct Deadline: Comparable, Sendable {
    let at: Duration
    let number: UInt64

    static func < (left: Deadline, right: Deadline) -> Bool {
        left.at == right.at ? left.number < right.number : left.at < right.at
    }
}

extension Duration {
    /// Far enough for every purpose, and far from the overflow that would trap.
    static let forever = Duration.seconds(86400 * 365 * 1000)

    /// A delay that can be added to any clock's time.
    var bounded: Duration { Swift.min(Swift.max(self, .zero), .forever) }
}

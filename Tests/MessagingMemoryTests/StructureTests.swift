import Messaging
import TestSupport
import Testing

@testable import MessagingMemory

@Suite("The structures below the engine")
struct StructureTests {
    @Test("a heap gives its elements in order, also after some were dropped")
    func heap() {
        var generator = SeededGenerator(seed: 1)
        var heap = BinaryHeap<Int>()
        let numbers = (0..<1000).map { _ in Int.random(in: 0..<500, using: &generator) }
        for number in numbers { heap.insert(number) }
        heap.keep { $0 % 3 != 0 }
        var sorted: [Int] = []
        while let number = heap.popMin() { sorted.append(number) }
        #expect(sorted == numbers.filter { $0 % 3 != 0 }.sorted())
        #expect(heap.popMin() == nil)
    }

    @Test("a sparse log finds what is left, like a dictionary")
    func log() {
        var generator = SeededGenerator(seed: 2)
        var log = SparseLog<Int>()
        var model: [UInt64: Int] = [:]
        for step in 0..<5000 {
            if Int.random(in: 0..<5, using: &generator) < 3 {
                model[log.append(step)] = step
            } else if let number = model.keys.min() {
                let chosen = Bool.random(using: &generator) ? number : UInt64.random(in: 0..<log.end, using: &generator)
                #expect(log.remove(chosen) == model.removeValue(forKey: chosen))
            }
        }
        #expect(log.count == model.count)
        var found: [UInt64] = []
        var next = log.next(from: 0)
        while let number = next {
            found.append(number)
            #expect(log[number] == model[number])
            next = log.next(from: number + 1)
        }
        #expect(found == model.keys.sorted())
        for number in found { log.remove(number) }
        #expect(log.isEmpty)
        #expect(log.next(from: 0) == nil)
        #expect(log[log.end + 100] == nil)
    }

    @Test("an order of expiry gives what a sorted list gives, wherever entries are put")
    func expiry() {
        var generator = SeededGenerator(seed: 3)
        var order = ExpiryOrder()
        var model: [ExpiryOrder.Entry] = []
        func numbers(_ entries: some Sequence<ExpiryOrder.Entry>) -> [UInt64] { entries.map(\.number) }
        let start = Duration.seconds(Int64.min)
        for number in UInt64(0)..<20_000 {
            switch Int.random(in: 0..<10, using: &generator) {
            case 0:
                #expect(order.removeFirst()?.number == model.first?.number)
                if !model.isEmpty { model.removeFirst() }
            case 1:
                // The last one, as a rule, one of the others, or one that is not there.
                let some = Bool.random(using: &generator) ? model.last : model.randomElement(using: &generator)
                guard let some else { continue }
                order.remove(until: some.until, number: some.number + (number.isMultiple(of: 7) ? 100_000 : 0))
                if !number.isMultiple(of: 7) { model.removeAll { $0.number == some.number } }
            default:
                // Some in the order of time, many of one moment, some in the middle.
                let moment =
                    Int.random(in: 0..<3, using: &generator) > 0
                    ? number / 100 : .random(in: 0...number / 100, using: &generator)
                let entry = ExpiryOrder.Entry(id: MessageID("id-\(number)"), number: number, until: .seconds(moment))
                order.insert(entry)
                model.insert(entry, at: model.firstIndex { $0.until > entry.until } ?? model.endIndex)
            }
            #expect(order.first?.number == model.first?.number)
            #expect(order.last?.number == model.last?.number)
            guard number % 1000 == 999 else { continue }
            #expect(numbers(order.entries(after: start, 0)) == numbers(model))
            guard let some = model.randomElement(using: &generator) else { continue }
            let later = model.filter { ($0.until, $0.number) > (some.until, some.number) }
            #expect(numbers(order.entries(after: some.until, some.number)) == numbers(later))
        }
        while let first = order.removeFirst() { #expect(first.number == model.removeFirst().number) }
        #expect(model.isEmpty)
        #expect(numbers(order.entries(after: start, 0)) == [])
    }

    @Test("refused messages leave nothing behind, though an id is remembered for longer than any of them")
    func refused() {
        var window = DedupeWindow(window: .seconds(60))
        window.remember("late", until: .seconds(3600))
        for number in 0..<1000 {
            let id = MessageID("id-\(number)")
            #expect(window.admit(Message(body: [], id: id), now: .seconds(number)) == .new)
            window.forget(id)
        }
        #expect(window.count == 1)
        #expect(window.waiting == 1)
        // What was accepted is forgotten in time, and what is remembered for longer stays.
        #expect(window.admit(Message(body: [], id: "kept"), now: .seconds(1000)) == .new)
        window.expire(now: .seconds(1061))
        #expect(window.count == 1)
        #expect(window.waiting == 1)
    }
}

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
}

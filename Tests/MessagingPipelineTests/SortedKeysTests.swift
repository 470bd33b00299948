import Messaging
import TestSupport
import Testing

@testable import MessagingPipeline

@Suite struct SortedKeysTests {
    @Test(arguments: 0..<6 as Range<UInt64>)
    func likeASortedArray(seed: UInt64) {
        var generator = SeededGenerator(seed: seed)
        var keys = SortedKeys()
        var model: Set<String> = []
        for _ in 0..<4000 {
            let order = "\(Int.random(in: 1000..<4000, using: &generator))"
            // The set grows first, then shrinks.
            if Int.random(in: 0..<4000, using: &generator) > model.count {
                keys.insert(SortedKeys.Key(order: order, id: "i" + order))
                model.insert(order)
            } else if let order = model.randomElement(using: &generator) {
                keys.remove(order)
                model.remove(order)
            }
            keys.remove("none")
        }
        #expect(keys.count == model.count)
        for end in [nil, "0", "1000", "2500", "2500x", "9"] as [String?] {
            var found: [String] = []
            keys.visitDown(below: end) { key in
                found.append(key.order)
                return found.count < 700
            }
            let expected = model.filter { order in end.map { order < $0 } ?? true }.sorted(by: >).prefix(700)
            #expect(found == Array(expected))
        }
        for order in model { keys.remove(order) }
        #expect(keys.count == 0)
        keys.visitDown(below: nil) { _ in
            Issue.record("a key is left")
            return true
        }
    }
}

import Messaging
import TestSupport
import Testing

@testable import MessagingMemory

@Suite("What is known of message ids")
struct MarkTableTests {
    @Test(
        "any mixture of calls gives what a dictionary gives, whatever the hashes",
        arguments: [1, 3, 50, 1 << 32, UInt64.max]
    )
    func model(hashes: UInt64) {
        var generator = SeededGenerator(seed: hashes)
        var table = MarkTable { UInt64($0.rawValue.utf8.reduce(0) { $0 &* 31 &+ Int($1) }) % hashes }
        var model: [MessageID: UInt64] = [:]
        // Few ids come and go often; many make the table grow, and find no place where all have the same.
        let ids = [1, .max].contains(hashes) ? 2000 : 60
        for number in UInt64(1)...20_000 {
            let id = MessageID("id-\(Int.random(in: 0..<ids, using: &generator))")
            switch Int.random(in: 0..<4, using: &generator) {
            case 0:
                table.remove(id)
                model[id] = nil
            case 1:
                let known = Bool.random(using: &generator) ? model[id] ?? 0 : 0
                table.remove(id, number: known)
                if model[id] == known { model[id] = nil }
            default:
                let there = table.insert(MarkTable.Mark(id: id, digest: number, number: number))
                #expect(there?.number == model[id])
                if there == nil { model[id] = number }
            }
            #expect(table.find(id)?.number == model[id])
            #expect(table.count == model.count)
        }
        for (id, number) in model { #expect(table.find(id)?.digest == number) }
    }

    @Test(
        "many ids are found, those that share most of their hash too",
        arguments: [UInt64.max, 0xFFFF_F83F, 0x8000_0FFF, 0x7FF]
    )
    func many(mask: UInt64) {
        var table = MarkTable { ((UInt64($0.rawValue.dropFirst(3)) ?? 0) &* 0x9E37_79B9_7F4A_7C15) >> 32 & mask }
        let ids = (UInt64(0)..<30_000).map { MessageID("id-\($0)") }
        for (number, id) in ids.enumerated() {
            #expect(table.insert(MarkTable.Mark(id: id, digest: nil, number: UInt64(number))) == nil)
        }
        #expect(table.count == ids.count)
        for (number, id) in ids.enumerated() where number.isMultiple(of: 3) { table.remove(id) }
        #expect(table.count == 20_000)
        for (number, id) in ids.enumerated() {
            #expect(table.find(id)?.number == (number.isMultiple(of: 3) ? nil : UInt64(number)))
        }
        for (number, id) in ids.enumerated() where number.isMultiple(of: 3) {
            #expect(table.insert(MarkTable.Mark(id: id, digest: nil, number: 1)) == nil)
        }
        #expect(table.count == ids.count)
    }

    @Test("an id is known also when it makes a table grow in which its mark then finds no place")
    func knownWhileGrowing() {
        // Together they reach across the end of 128 places, so that who comes first after growing takes the others' places.
        let hashes = [UInt64](repeating: 104, count: 31) + [UInt64](repeating: 114, count: 11) + Array(40...61)
        let ids = hashes.indices.map { MessageID("id-\($0)") }
        var full = MarkTable { hashes[Int($0.rawValue.dropFirst(3)) ?? 0] }
        for (number, id) in ids.enumerated() {
            #expect(full.insert(MarkTable.Mark(id: id, digest: 7, number: UInt64(number))) == nil)
        }
        for (number, id) in ids.enumerated() {
            var table = full
            #expect(table.insert(MarkTable.Mark(id: id, digest: 8, number: 1000))?.number == UInt64(number))
            #expect(table.insert(MarkTable.Mark(id: "id-0", digest: 8, number: 1000))?.number == 0)
            #expect(table.find(id)?.digest == 7)
            #expect(table.count == ids.count)
        }
    }

    @Test("a table from which everything was removed is as good as new")
    func emptied() {
        var table = MarkTable()
        for round in 0..<3 {
            let ids = (0..<5000).map { MessageID("id-\(round)-\($0)") }
            for (number, id) in ids.enumerated() {
                #expect(table.insert(MarkTable.Mark(id: id, digest: nil, number: UInt64(number))) == nil)
            }
            for (number, id) in ids.enumerated() {
                #expect(table.find(id)?.number == UInt64(number))
                table.remove(id)
            }
            #expect(table.count == 0)
            #expect(table.find(ids[0]) == nil)
        }
    }
}

import Messaging
import TestSupport
import Testing

@Suite("Message ids")
struct MessageIDTests {
    @Test("an id is a UUID of version 7 in lower case")
    func form() {
        for _ in 0..<100 {
            let id = Array(MessageID.make().rawValue)
            #expect(id.count == 36)
            for (index, character) in id.enumerated() {
                switch index {
                case 8, 13, 18, 23: #expect(character == "-")
                case 14: #expect(character == "7")
                case 19: #expect("89ab".contains(character))
                default: #expect("0123456789abcdef".contains(character))
                }
            }
        }
    }

    @Test("the first 48 bits are the time in milliseconds")
    func time() {
        var generator = SeededGenerator(seed: 1)
        let id = MessageID.make(milliseconds: 0x0123_4567_89AB, using: &generator)
        #expect(id.rawValue.hasPrefix("01234567-89ab-7"))
    }

    @Test("ids sort by time")
    func sorted() {
        var generator = SeededGenerator(seed: 2)
        let times: [Int64] = [0, 1, 15, 16, 255, 65_535, 1_700_000_000_000, 1_700_000_000_001, 0xFFFF_FFFF_FFFF]
        let ids = times.map { MessageID.make(milliseconds: $0, using: &generator).rawValue }
        #expect(ids == ids.sorted())
    }

    @Test("100,000 ids are all different")
    func unique() {
        #expect(Set((0..<100_000).map { _ in MessageID.make() }).count == 100_000)
    }
}

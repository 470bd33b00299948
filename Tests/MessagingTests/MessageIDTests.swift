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
        var mint = MessageID.Mint()
        let id = mint.next(milliseconds: 0x0123_4567_89AB, using: &generator)
        #expect(id.rawValue.hasPrefix("01234567-89ab-7"))
    }

    @Test("ids sort by time, and within a millisecond as they were minted")
    func sorted() {
        var generator = SeededGenerator(seed: 2)
        var mint = MessageID.Mint()
        let times: [Int64] = [
            0, 1, 1, 1, 15, 16, 255, 65_535, 65_535, 1_700_000_000_000, 1_700_000_000_001, 0xFFFF_FFFF_FFFF,
        ]
        let ids = times.map { mint.next(milliseconds: $0, using: &generator).rawValue }
        #expect(ids == ids.sorted())
        #expect(Set(ids).count == ids.count)
    }

    @Test("a clock that is set back a little does not set ids back; one that is set back far is followed")
    func setBack() {
        var generator = SeededGenerator(seed: 3)
        var mint = MessageID.Mint()
        let first = mint.next(milliseconds: 1_700_000_000_000, using: &generator)
        let second = mint.next(milliseconds: 1_699_999_995_000, using: &generator)
        #expect(first.rawValue < second.rawValue)
        let third = mint.next(milliseconds: 1_600_000_000_000, using: &generator)
        #expect(third.rawValue < first.rawValue)
    }

    @Test("two processes that mint in the same millisecond do not meet")
    func apart() {
        var (one, other) = (SeededGenerator(seed: 4), SeededGenerator(seed: 5))
        var (mint, otherMint) = (MessageID.Mint(), MessageID.Mint())
        var ids: Set<MessageID> = []
        for _ in 0..<1000 {
            ids.insert(mint.next(milliseconds: 7, using: &one))
            ids.insert(otherMint.next(milliseconds: 7, using: &other))
        }
        #expect(ids.count == 2000)
    }

    @Test("100,000 ids are all different")
    func unique() {
        #expect(Set((0..<100_000).map { _ in MessageID.make() }).count == 100_000)
    }

    @Test("ids that many tasks mint at once are all different")
    func concurrent() async {
        let ids = await withTaskGroup(of: [MessageID].self) { group in
            for _ in 0..<8 { group.addTask { (0..<5000).map { _ in MessageID.make() } } }
            return await group.reduce(into: Set<MessageID>()) { $0.formUnion($1) }
        }
        #expect(ids.count == 40_000)
    }
}

import Messaging
import Testing

@Suite("Digests of bodies")
struct BodyDigestTests {
    /// Backends keep digests: these must never change.
    @Test("known bodies have known digests")
    func known() {
        #expect(BodyDigest.of([]) == 0xCBF2_9CE2_DBB6_C401)
        #expect(BodyDigest.of(Array("a".utf8)) == 0xAF63_DD49_FD1F_045B)
        #expect(BodyDigest.of(Array("foobar".utf8)) == 0xCAE9_AC81_CD09_C1AE)
        #expect(BodyDigest.of(Array("0123456789abcdef!".utf8)) == 0x4AC4_E7EF_5685_5AB4)
    }

    @Test("every changed byte and every length gives another digest")
    func differences() {
        var seen: Set<UInt64> = []
        for length in 0..<40 {
            let body = [UInt8](repeating: 7, count: length)
            #expect(seen.insert(BodyDigest.of(body)).inserted)
            for index in body.indices {
                for bit in 0..<8 {
                    var other = body
                    other[index] ^= 1 << bit
                    #expect(BodyDigest.of(other) != BodyDigest.of(body))
                }
            }
        }
    }
}

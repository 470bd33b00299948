import Foundation
import Messaging

@testable import MessagingPipeline

/// A generator whose numbers depend on its seed alone (SplitMix64).
struct SeededGenerator: RandomNumberGenerator {
    private var state: UInt64

    init(seed: UInt64) {
        state = seed
    }

    mutating func next() -> UInt64 {
        state &+= 0x9e37_79b9_7f4a_7c15
        var value = state
        value = (value ^ (value >> 30)) &* 0xbf58_476d_1ce4_e5b9
        value = (value ^ (value >> 27)) &* 0x94d0_49bb_1331_11eb
        return value ^ (value >> 31)
    }
}

func analysed(_ id: String, _ text: String, at seconds: Double? = 0) -> AnalysedStatement {
    let statement = Statement(id: id, createdAt: seconds.map { Date(timeIntervalSince1970: $0) }, text: text)
    return AnalysedStatement(statement: statement, analysis: LexiconAnalyzer().analyse(statement))
}

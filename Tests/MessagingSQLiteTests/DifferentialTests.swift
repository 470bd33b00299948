import Foundation
import Messaging
import TestSupport
import Testing

@testable import MessagingSQLite

/// The file does what the reference model does: the same random operations on both, compared after each.
@Suite("SQLite and the memory backend do the same", .timeLimit(.minutes(10)))
struct DifferentialTests {
    /// `MQ_SEEDS=1000-1999` runs other seeds than the few that every run has.
    private static let seeds: [UInt64] = {
        let bounds = ProcessInfo.processInfo.environment["MQ_SEEDS"]?.split(separator: "-").compactMap { UInt64($0) }
        guard let first = bounds?.first, let last = bounds?.last, first <= last else { return Array(1...24) }
        return Array(first...last)
    }()

    @Test(arguments: seeds)
    func same(_ seed: UInt64) async throws {
        var world = try await TwinQueues(seed: seed)
        for step in 0..<120 {
            do {
                try await world.step()
            } catch {
                Issue.record("seed \(seed), step \(step): \(error)\n\(world.log.suffix(25).joined(separator: "\n"))")
                break
            }
        }
        await world.close()
    }
}

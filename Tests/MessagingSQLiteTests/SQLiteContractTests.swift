import Foundation
import GRDB
import Messaging
import MessagingConformance
import MessagingSQLite
import TestSupport
import Testing

/// The contract's cases on a file, each client with connections of its own, on a clock that moves only when a case lets
/// time pass.
struct SQLiteHarness: ConformanceHarness {
    private let clock = ManualClock()
    private let file: TemporaryFile

    init() throws { file = try TemporaryFile() }

    var timeUnit: Duration { .seconds(1) }
    var tolerance: Duration { .milliseconds(100) }
    var now: Duration { clock.now }

    func makeQueue() async throws -> any MessageQueue { file.makeQueue(clock: clock.queueClock) }
    func uniqueName(_ prefix: String) -> String { "\(prefix)-\(MessageID.make())" }
    func advance(by duration: Duration) async throws { clock.advance(by: duration) }

    func injectForeign(body: [UInt8], into queue: String) async throws -> Bool {
        try await file.makeConnection().writeWithoutTransaction {
            try $0.execute(sql: "INSERT INTO mq_publish (queue, body) VALUES (?, ?)", arguments: [queue, Data(body)])
        }
        return true
    }
}

// One case at a time: they are many, and the tests of other suites wait for the same threads.
@Suite("SQLite keeps the contract", .serialized, .timeLimit(.minutes(2)))
struct SQLiteContractTests {
    @Test(arguments: Conformance.cases(upTo: .full))
    func keeps(_ law: ConformanceCase) async throws {
        let result = try await ConformanceRunner(try SQLiteHarness()).result(of: law)
        switch result.outcome {
        case .passed: break
        case .failed: Issue.record("\(result)")
        case .unsupported, .notPossible, .knownFailure: Issue.record("\(result)", severity: .warning)
        }
    }
}

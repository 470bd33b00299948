import Foundation
import GRDB
import Messaging
import MessagingConformance
import MessagingSQLite
import TestSupport
import Testing

/// The contract's cases on a file with the machine's clock, each client with connections of its own.
private struct LiveHarness: ConformanceHarness {
    let file: QueueFile

    var timeUnit: Duration { .milliseconds(200) }
    // How busy the machine may be; nothing may come early whatever it is.
    var tolerance: Duration { .seconds(1) }

    func makeQueue() async throws -> any MessageQueue { file.makeQueue() }
    func uniqueName(_ prefix: String) -> String { "\(prefix)-\(MessageID.make())" }

    func injectForeign(body: [UInt8], into queue: String) async throws -> Bool {
        var configuration = Configuration()
        configuration.busyMode = .timeout(10)
        configuration.allowsUnsafeTransactions = true
        let other = try DatabaseQueue(path: file.path, configuration: configuration)
        try await other.writeWithoutTransaction {
            try $0.execute(sql: "INSERT INTO mq_publish (queue, body) VALUES (?, ?)", arguments: [queue, Data(body)])
        }
        return true
    }
}

@Suite("SQLite keeps the contract in real time", .serialized, .timeLimit(.minutes(5)))
struct SQLiteLiveTests {
    @Test(arguments: Conformance.cases(upTo: .full))
    func keeps(_ law: ConformanceCase) async throws {
        let file = try QueueFile()
        let result = try await ConformanceRunner(LiveHarness(file: file)).result(of: law)
        switch result.outcome {
        case .passed: break
        case .failed: Issue.record("\(result)")
        case .unsupported, .notPossible, .knownFailure: Issue.record("\(result)", severity: .warning)
        }
        #expect(try file.integrity() == "ok")
    }
}

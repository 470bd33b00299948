import BrokerSupport
import Foundation
import MessagingConformance

/// A child program of the fault tier, in a process of its own.
final class FaultProcess: FaultChild {
    private let process: ChildProcess
    private let output: ChildLines
    private let folder: URL

    init(_ job: FaultChildJob, on url: String) throws {
        folder = FileManager.default.temporaryDirectory.appending(path: "mq-fault-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        output = try ChildLines()
        process = try ChildProcess(
            MQProcess.built("queue-child").path,
            ["fault", url, job.text],
            outputHandle: output.handle,
            errors: folder.appending(path: "errors").path
        )
        output.started()
    }

    var lines: AsyncStream<String> { output.lines }

    func kill() async { process.crash() }

    deinit {
        process.crash()
        try? FileManager.default.removeItem(at: folder)
    }
}

import Logging
import Messaging
import MessagingConformance
import MessagingMemory

#if canImport(FoundationEssentials)
import FoundationEssentials
#else
import Foundation
#endif

/// The broker that the suite runs on; each of its clients has connections of its own.
struct ConformanceBroker: Sendable {
    private let makeClient: @Sendable () throws -> any MessageQueue
    /// The folder of a temporary file, removed at the end.
    private let folder: URL?
    /// What the run leaves behind; `nil` when that is nothing.
    let note: String?

    /// Decides where the suite runs; no connection is made yet.
    init(_ spec: String?, settings: Settings, timeout: Duration?, logger: Logger) throws {
        let chosen =
            spec.map { Settings.Value(text: $0, source: "--backend") }
            ?? settings.value("backend") ?? Settings.Value(text: Backends.standard, source: "the default")
        let kind = try Backends.kind(of: chosen)
        if kind.name == "memory" {
            let memory = MemoryQueue()
            makeClient = { memory.makeClient() }
            (folder, note) = (nil, nil)
            return
        }
        var address = chosen.text
        if kind.name == "sqlite", !address.contains(":"), settings.value("sqlite_url") == nil {
            let temporary = FileManager.default.temporaryDirectory
                .appending(path: "mq-conformance-\(MessageID.make())")
            try FileManager.default.createDirectory(at: temporary, withIntermediateDirectories: true)
            folder = temporary
            address = "sqlite:\(temporary.appending(path: "mq.sqlite").path())"
        } else {
            folder = nil
        }
        let (place, source) = (address, chosen.source)
        let open: @Sendable () throws -> OpenBackend = {
            try Backends.open(
                place,
                from: source,
                creates: true,
                settings: settings,
                timeout: timeout,
                logger: logger
            )
        }
        // A broken URL is told before anything runs. Nothing is connected until the first call.
        let description = try open().description
        note =
            folder == nil
            ? "the queues 'conformance-…' stay on \(description), as this backend cannot delete them" : nil
        makeClient = { try open().queue }
    }

    /// Opens a further client.
    func client() throws -> any MessageQueue { try makeClient() }

    /// Removes what was made for this run only.
    func remove() {
        if let folder { try? FileManager.default.removeItem(at: folder) }
    }
}

/// The suite's view of the chosen backend, in real time.
struct CommandHarness: ConformanceHarness {
    let broker: ConformanceBroker
    let timeUnit: Duration
    let tolerance: Duration

    func makeQueue() async throws -> any MessageQueue { try broker.client() }
    func uniqueName(_ prefix: String) -> String { "conformance-\(prefix)-\(MessageID.make())" }
}

import Logging
import Messaging

#if canImport(FoundationEssentials)
import FoundationEssentials
#else
import Foundation
#endif

/// Where a run measures.
struct BenchPlace: Sendable {
    let opened: OpenBackend
    /// The folder of a temporary file, removed at the end.
    private let folder: URL?

    /// Opens the backend that was chosen; the name `sqlite` alone means a temporary file.
    init(_ global: GlobalOptions) throws {
        let settings = try global.settings()
        let chosen =
            global.backend.map { Settings.Value(text: $0, source: "--backend") }
            ?? settings.value("backend") ?? Settings.Value(text: Backends.standard, source: "the default")
        var address = chosen.text
        var folder: URL?
        if try Backends.kind(of: chosen).name == "sqlite", !address.contains(":"), settings.value("sqlite_url") == nil {
            let temporary = FileManager.default.temporaryDirectory.appending(path: "mq-bench-\(MessageID.make())")
            try FileManager.default.createDirectory(at: temporary, withIntermediateDirectories: true)
            folder = temporary
            address = "sqlite:\(temporary.appending(path: "mq.sqlite").path())"
        }
        self.folder = folder
        opened = try Backends.open(
            address,
            from: chosen.source,
            creates: true,
            settings: settings,
            timeout: global.timeout,
            logger: global.logger(.error)
        )
    }

    /// The backend itself: what a decorator adds for metrics is not measured.
    var queue: any MessageQueue {
        var queue = opened.queue
        while let decorator = queue as? any QueueDecorator { queue = decorator.base }
        return queue
    }

    /// Removes what was made for this run only.
    func remove() {
        if let folder { try? FileManager.default.removeItem(at: folder) }
    }
}

import MessagingPipeline
import Synchronization

/// Reads the configuration file again on SIGHUP and hands its URLs to the running pipeline.
final class SourceReload: Sendable {
    /// What reading the file again comes to.
    struct Outcome: Sendable, Equatable {
        /// The sources from now on; `nil` when they stay.
        var remotes: [RemoteSource]?
        /// What to say of it.
        var notes: [String] = []
    }

    private let file: Mutex<ConfigFile?>
    private let followsFile: Bool
    private let sources: SourceList
    private let output: Output
    private let environment: [String: String]

    init(_ settings: Settings, followsFile: Bool, sources: SourceList, output: Output) {
        file = Mutex(settings.config)
        environment = settings.environment
        self.followsFile = followsFile
        self.sources = sources
        self.output = output
    }

    /// Reads the file again; a file that cannot be used changes nothing.
    func reload() {
        file.withLock { file in
            guard let old = file else {
                return output.note("SIGHUP: there was no configuration file, so there is nothing to read again")
            }
            do {
                let new = try Settings.read(old.name, environment)
                let outcome = Self.decide(old, new, followsFile: followsFile)
                if let remotes = outcome.remotes { sources.replace(remotes) }
                for note in outcome.notes { output.note("SIGHUP: \(note)") }
                // What needs a restart is told each time, until it has had one.
                if outcome.remotes != nil { file?.pipeline.sources = old.pipeline.files + new.pipeline.sources.remotes }
            } catch {
                output.error("SIGHUP: '\(old.name)' is not taken over; the sources stay as they were")
                if case .status(_, let text?) = CLIErrors.ending(error) { output.errorLine(text) }
            }
        }
    }

    /// Decides what a file that was read again changes.
    ///
    /// - Parameters:
    ///   - old: What runs.
    ///   - new: What the file says now.
    ///   - followsFile: Whether the sources come from the file.
    /// - Returns: The new sources and what to say.
    static func decide(_ old: ConfigFile, _ new: ConfigFile, followsFile: Bool) -> Outcome {
        var outcome = Outcome()
        if !followsFile {
            outcome.notes.append("the sources stay, because --input gave them")
        } else if old.pipeline.remotes == new.pipeline.remotes {
            outcome.notes.append("the URLs among the sources are the same")
        } else {
            let before = Set(old.pipeline.remotes)
            let after = Set(new.pipeline.remotes)
            outcome.remotes = new.pipeline.remotes
            let added = Format.count(after.subtracting(before).count, "source")
            outcome.notes.append("\(added) added or changed, \(before.subtracting(after).count) gone or changed")
        }
        if followsFile, old.pipeline.files != new.pipeline.files {
            outcome.notes.append("the files among 'pipeline.sources' have changed, which needs a restart")
        }
        let keys = new.keysThatDiffer(from: old)
        if !keys.isEmpty { outcome.notes.append("changed and needs a restart: \(keys.joined(separator: ", "))") }
        return outcome
    }
}

extension [PipelineFile.Source] {
    /// The URLs among them.
    var remotes: [PipelineFile.Source] {
        filter { if case .remote = $0.place { true } else { false } }
    }
}

#if SQLite
import ArgumentParser
import Logging
import Messaging
import MessagingMigration
import MessagingSQLite

#if canImport(FoundationEssentials)
import FoundationEssentials
#else
import Foundation
#endif

/// Where the journal of migrations is and how often processes look into it.
struct MigrationSetting: Sendable {
    static let journalVariable = "MQ_MIGRATION_JOURNAL"
    static let leaseVariable = "MQ_MIGRATION_LEASE"
    private static let fileName = "mq-migration.sqlite"
    private static let standardLease = Duration.seconds(10)

    /// The path of the journal.
    let journal: String
    /// How long a process may go without looking into it; the same for all that use one journal.
    let lease: Duration

    /// Reads the settings: the flag, then the environment, then beside the file that the name `sqlite` means.
    init(_ settings: Settings, journal flag: String? = nil) throws {
        lease = try Self.lease(settings)
        if let path = flag ?? settings.environment[Self.journalVariable].flatMap({ $0.isEmpty ? nil : $0 }) {
            journal = path
            return
        }
        let url = settings.value("sqlite_url")?.text ?? "sqlite:\(Backends.standardFile)"
        let file = try SQLiteConfiguration(url: url).path
        let folder = file.lastIndex(of: "/").map { String(file[...$0]) } ?? ""
        journal = folder + Self.fileName
    }

    private static func lease(_ settings: Settings) throws -> Duration {
        guard let text = settings.environment[leaseVariable], !text.isEmpty else { return standardLease }
        guard let lease = try? DurationArgument.parse(text), lease >= .milliseconds(100), lease <= .seconds(3600) else {
            throw CLIError(
                .usage,
                "\(leaseVariable) must be 100ms to 1h",
                do: "give all processes that use one journal the same"
            )
        }
        return lease
    }
}

extension OpenBackend {
    /// What the journal of migrations knows the backend by: where it is, from anywhere on this machine, and without
    /// credentials.
    var label: String {
        let scheme = "sqlite:"
        guard description.hasPrefix(scheme) else { return description }
        var path = String(description.dropFirst(scheme.count))
        if !path.hasPrefix("/") { path = FileManager.default.currentDirectoryPath + "/" + path }
        let plain = URL(filePath: path).standardizedFileURL.path(percentEncoded: false)
        // The label is a URL, too.
        return scheme + plain.replacing("%", with: "%25").replacing("?", with: "%3F")
    }

    /// The same backend, whose queues may move to others while it is used.
    ///
    /// - Parameters:
    ///   - settings: Where the journal and the URLs of other backends are.
    ///   - timeout: How long one call to a broker may take.
    ///   - logger: Where it reports that a queue moves.
    /// - Returns: The backend; the memory backend, which no other process sees, as it is.
    /// - Throws: `CLIError` for settings that cannot be used.
    func following(_ settings: Settings, timeout: Duration?, logger: Logger) throws -> OpenBackend {
        guard !isEphemeral else { return self }
        let setting = try MigrationSetting(settings)
        let queue = MigratingQueue(
            MigrationSide(queue, label: label),
            journal: setting.journal,
            lease: setting.lease,
            name: "mq \(ProcessInfo.processInfo.processIdentifier)",
            logger: logger
        ) { label in
            try Backends.open(label: label, settings: settings, timeout: timeout, logger: logger).queue
        }
        return OpenBackend(queue: queue, description: description, source: source, stores: stores)
    }
}

extension Backends {
    /// Opens the backend that the journal knows by a label: with the URL of the settings that means the same place, which
    /// may have credentials, or else with the label.
    ///
    /// - Parameters:
    ///   - label: Where it is, without credentials.
    ///   - settings: The environment and the configuration file.
    ///   - timeout: How long one call to the broker may take.
    ///   - logger: Where the backend reports.
    /// - Returns: The backend; no connection is made yet.
    /// - Throws: As `open`.
    static func open(
        label: String,
        settings: Settings,
        timeout: Duration?,
        logger: Logger
    ) throws -> OpenBackend {
        let known = ["redis_url", "rabbitmq_url", "kafka_url", "sqlite_url", "backend"].compactMap {
            settings.value($0)
        }
        for value in known {
            // What cannot be used is told to whoever asks for it.
            let opened = try? open(
                value.text,
                from: value.source,
                creates: true,
                settings: settings,
                timeout: timeout,
                logger: logger
            )
            if let opened, opened.label == label { return opened }
        }
        return try open(
            label,
            from: "the journal of migrations",
            creates: true,
            settings: settings,
            timeout: timeout,
            logger: logger
        )
    }
}
#else
import Logging

extension OpenBackend {
    /// Without SQLite there is no journal of migrations.
    func following(_ settings: Settings, timeout: Duration?, logger: Logger) throws -> OpenBackend { self }
}
#endif

#if SQLite
import ArgumentParser
import Messaging
import MessagingMigration

/// Moves live queues from one backend to another.
struct MigrateCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "migrate",
        abstract: "Move a live queue from one backend to another.",
        discussion: """
            'plan' shows what would happen and writes nothing. 'apply' moves everything, step by step, while producers and \
            consumers run; 'finish' is the last word, and until then 'rollback' takes it all back. What has been done \
            stands in a journal of its own, so that each command can be stopped and called again. docs/migration.md is \
            the runbook.

            EXAMPLES:
              mq migrate plan --queue orders --from redis --to sqlite
              mq migrate apply --queue orders --from redis --to sqlite
              mq migrate status
              mq migrate verify --queue orders
              mq migrate finish --queue orders

            ENVIRONMENT:
              MQ_MIGRATION_JOURNAL (the journal, for all processes that use the queue), MQ_MIGRATION_LEASE (10s).

            'mq help migrate plan' and so on say more about each.
            """,
        subcommands: [
            MigratePlanCommand.self, MigrateApplyCommand.self, MigrateStatusCommand.self, MigrateVerifyCommand.self,
            MigrateRollbackCommand.self, MigrateFinishCommand.self,
        ]
    )
}

/// Where the journal is.
struct JournalOption: ParsableArguments {
    @Option(
        help: ArgumentHelp(
            "The journal of migrations.",
            discussion: "Else MQ_MIGRATION_JOURNAL, else mq-migration.sqlite beside the file that 'sqlite' means.",
            valueName: "file"
        ),
        completion: .file()
    )
    var journal: String?
}

/// How well the new side must do before more producers go over to it.
struct LimitOptions: ParsableArguments {
    @Option(
        name: .customLong("max-errors"),
        help: ArgumentHelp(
            "Let no more producers go over while a larger share of what they publish to the new side fails.",
            valueName: "percent"
        )
    )
    var maxErrors = 1.0

    @Option(
        name: .customLong("max-lag"),
        help: ArgumentHelp(
            "Let no more producers go over while a group has more messages ready on the new side.",
            valueName: "number"
        )
    )
    var maxLag: Int?

    @Flag(
        inversion: .prefixedNo,
        help: ArgumentHelp("Send messages through a queue of their own on the target first, and remove it.")
    )
    var canary = true

    func validate() throws {
        guard 0...100 ~= maxErrors else { throw ValidationError("--max-errors is 0 to 100 percent") }
        if let maxLag, maxLag < 0 { throw ValidationError("--max-lag must be at least 0") }
    }

    var limits: MigrationLimits { MigrationLimits(maxErrors: maxErrors / 100, maxLag: maxLag) }
}

/// Which queue moves, and between which backends.
struct MigrateOptions: ParsableArguments {
    @Option(help: "The queue.", completion: .queues)
    var queue: String

    @Option(
        help: ArgumentHelp(
            "Where the queue is; else the backend that is chosen as for other commands.",
            valueName: "name|url"
        )
    )
    var from: String?

    @Option(help: ArgumentHelp("Where it goes.", valueName: "name|url"))
    var to: String?

    @OptionGroup var file: JournalOption

    func validate() throws { try Arguments.check(queue: queue) }
}

/// What the commands of a migration share: both sides, the journal, and how errors end.
struct MigrateSession: Sendable {
    let global: GlobalOptions
    let options: MigrateOptions
    let settings: Settings
    let setting: MigrationSetting

    init(_ global: GlobalOptions, _ options: MigrateOptions) throws {
        self.global = global
        self.options = options
        settings = try global.settings()
        setting = try MigrationSetting(settings, journal: options.file.journal)
    }

    /// Does something with both sides, and closes them however that ends.
    ///
    /// A file that is not there is created for the target if told so. When the options name no sides, those of the
    /// migration are meant.
    func withSides<Result: Sendable>(
        creates: Bool,
        _ migration: Migration? = nil,
        _ body: (MigrationSide, MigrationSide) async throws -> Result
    ) async throws -> Result {
        let from = try open(options.from, "--from", migration?.source, creates: false)
        let to = try open(options.to, "--to", migration?.target, creates: creates)
        do {
            for side in [from, to] where side.isEphemeral {
                throw CLIError(
                    .usage,
                    "the memory backend ends with this process, so no queue can move from or to it",
                    do: "give another --from or --to"
                )
            }
            let result = try await body(
                MigrationSide(from.queue, label: from.label),
                MigrationSide(to.queue, label: to.label)
            )
            await from.queue.close()
            await to.queue.close()
            return result
        } catch {
            await from.queue.close()
            await to.queue.close()
            throw error
        }
    }

    private func open(_ spec: String?, _ flag: String, _ label: String?, creates: Bool) throws -> OpenBackend {
        let logger = global.logger()
        if spec == nil, let label {
            return try Backends.open(label: label, settings: settings, timeout: global.timeout, logger: logger)
        }
        guard let spec = spec ?? (flag == "--from" ? global.backend : nil) else {
            guard flag == "--from" else {
                throw CLIError(.usage, "there is no \(flag)", do: "say where the queue goes")
            }
            return try Backends.open(nil, settings: settings, timeout: global.timeout, logger: logger)
        }
        return try Backends.open(
            spec,
            from: flag,
            creates: creates,
            settings: settings,
            timeout: global.timeout,
            logger: logger
        )
    }

    /// The last migration of the queue, when there is a journal.
    func latest() async throws -> Migration? {
        guard MigrationJournal.exists(at: setting.journal) else { return nil }
        return try await MigrationJournal(path: setting.journal).latest(options.queue)
    }

    func required() async throws -> Migration {
        if let latest = try await latest() { return latest }
        throw MigrationError(.notFound, "there is no migration of '\(options.queue)' in '\(setting.journal)'")
    }

    /// Turns errors of a migration into ends of the program, and a signal into a word on how to go on.
    func ending<Result: Sendable>(
        _ body: @escaping @Sendable () async throws -> Result
    ) async throws -> Result {
        let output = global.output
        do {
            return try await Interrupt.cancelling { try await body() }
        } catch let error as MigrationError {
            output.progress(nil)
            throw Self.cliError(error, options.queue)
        } catch let error where error is CancellationError || (error as? QueueError)?.code == .cancelled {
            output.progress(nil)
            output.error(
                "stopped; nothing is lost: 'mq migrate apply --queue \(options.queue)' goes on, 'mq migrate rollback "
                    + "--queue \(options.queue)' takes it back"
            )
            throw end(.partly)
        } catch let error as QueueError where error.code == .unavailable || error.code == .indeterminate {
            output.progress(nil)
            // Before anything was written there is nothing to go on with.
            guard let latest = try? await latest(), latest.isLive else { throw error }
            throw CLIError(
                error.code == .unavailable ? .unreachable : .partly,
                error.queue.map { "queue '\($0)': \(error.message)" } ?? error.message,
                do:
                    "nothing is lost: when both sides can be reached again, 'mq migrate apply --queue \(options.queue)' "
                    + "goes on, 'mq migrate rollback --queue \(options.queue)' takes it back"
            )
        }
    }

    static func cliError(_ error: MigrationError, _ queue: String) -> CLIError {
        switch error.kind {
        case .notFound: CLIError(.notFound, error.description)
        case .otherSide: CLIError(.usage, error.description)
        case .refused:
            CLIError(
                .partly,
                error.description,
                do: "'mq migrate apply --queue \(queue)' goes on, 'mq migrate rollback --queue \(queue)' takes it back"
            )
        case .blocked, .lossy, .moved, .busy, .journal: CLIError(.failed, error.description)
        }
    }
}
#endif

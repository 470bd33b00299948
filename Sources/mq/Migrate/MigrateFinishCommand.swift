#if SQLite
import ArgumentParser
import Messaging
import MessagingMigration

/// Ends a migration.
struct MigrateFinishCommand: GlobalCommand {
    static let configuration = CommandConfiguration(
        commandName: "finish",
        abstract: "End a migration: the old side is no longer read.",
        discussion: """
            Possible when everything has gone over and the old side is empty. Nothing is deleted unless --delete-source \
            says so; the old queue stays closed. After this there is no way back but another migration. Called again it \
            changes nothing.

            EXAMPLES:
              mq migrate finish --queue orders
              mq migrate finish --queue orders --delete-source --yes

            EXIT CODES:
              0 done, 1 failed, 3 something is left, 4 there is no such migration, 5 needs --yes, 6 broker unreachable, \
            64 bad usage.
            """
    )

    @OptionGroup var global: GlobalOptions
    @OptionGroup var options: MigrateOptions

    @Flag(help: "Delete the queue on the old side.")
    var deleteSource = false

    @Flag(help: "Do not ask.")
    var yes = false

    func run() async throws {
        let session = try MigrateSession(global, options)
        if deleteSource, !yes {
            try await global.output.confirm(
                by: options.queue,
                "Type the queue's name to delete it on the old side: ",
                refusal: CLIError(
                    .needsConfirmation,
                    "nothing was done",
                    do: "give --yes, or type the queue's name on a terminal"
                )
            )
        }
        let migration = try await session.ending {
            try await session.withSides(creates: false, try await session.required()) { from, to in
                let journal = try MigrationJournal(path: session.setting.journal)
                let migrator = Migrator(
                    journal: journal,
                    from: from,
                    to: to,
                    options: MigrationOptions(lease: session.setting.lease)
                )
                return try await migrator.finish(options.queue, deletesSource: deleteSource)
            }
        }
        try MigrationReport.report(
            migration,
            moved: nil,
            global.output,
            note: deleteSource
                ? "the queue was deleted on \(migration.from)"
                : "the queue on \(migration.from) is empty and stays closed; nothing was deleted"
        )
    }
}
#endif

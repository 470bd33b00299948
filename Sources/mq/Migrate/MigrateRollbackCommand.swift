#if SQLite
import ArgumentParser
import Messaging
import MessagingMigration

/// Takes a migration back.
struct MigrateRollbackCommand: GlobalCommand {
    static let configuration = CommandConfiguration(
        commandName: "rollback",
        abstract: "Take a migration back, in any state before it is finished.",
        discussion: """
            The same way in the other direction: the old side opens again, producers return, and what has gone over comes \
            back. Called again it goes on where it stopped. 'mq migrate finish' ends it; with --forward a migration that \
            goes back turns around once more.

            EXAMPLES:
              mq migrate rollback --queue orders
              mq migrate rollback --queue orders --rate 200
              mq migrate rollback --queue orders --forward

            EXIT CODES:
              0 done but for 'finish', 1 failed, 3 stopped on the way, 4 no migration is under way, 6 broker unreachable, \
            64 bad usage.
            """
    )

    @OptionGroup var global: GlobalOptions
    @OptionGroup var options: MigrateOptions

    @Option(help: ArgumentHelp("The most messages per second that are carried back.", valueName: "number"))
    var rate: Int?

    @Option(
        help: ArgumentHelp("Stop when nothing gets better for so long.", valueName: "duration"),
        transform: DurationArgument.parse
    )
    var patience: Duration = .seconds(600)

    @OptionGroup var limits: LimitOptions

    @Flag(help: "Let a migration that goes back go on to the target again.")
    var forward = false

    func validate() throws { if let rate, rate < 1 { throw ValidationError("--rate must be at least 1") } }

    func run() async throws {
        let session = try MigrateSession(global, options)
        let screen = MigrationScreen(global.output)
        let migration = try await session.ending {
            try await session.withSides(creates: true, try await session.required()) { from, to in
                let migrator = Migrator(
                    journal: try MigrationJournal(path: session.setting.journal),
                    from: from,
                    to: to,
                    options: MigrationOptions(
                        rate: rate,
                        lease: session.setting.lease,
                        patience: patience,
                        limits: limits.limits,
                        sendsCanary: limits.canary
                    ),
                    report: { screen.show($0) }
                )
                return forward
                    ? try await migrator.resumeForward(options.queue) : try await migrator.rollback(options.queue)
            }
        }
        screen.end()
        try MigrationReport.report(
            migration,
            moved: screen.moved,
            global.output,
            note: "'mq migrate finish --queue \(options.queue)' is the last word"
        )
    }
}
#endif

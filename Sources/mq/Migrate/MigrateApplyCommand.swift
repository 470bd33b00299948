#if SQLite
import ArgumentParser
import Messaging
import MessagingMigration

/// Moves a queue.
struct MigrateApplyCommand: GlobalCommand {
    /// What `--mode` can say: a way for what is ready, or a rehearsal.
    enum Mode: String, ExpressibleByArgument, CaseIterable, Sendable {
        case drain, bridge, shadow
    }

    static let configuration = CommandConfiguration(
        commandName: "apply",
        abstract: "Move a queue, or go on where a migration stopped.",
        discussion: """
            Makes the plan first, and writes nothing when something forbids it. Then consumers read both sides, producers \
            go over by key (1 %, 10 %, 50 %, 100 %), the old side is closed and emptied, and schedules, retries and dead \
            letters are carried over. Programs of this library that use the journal follow while they run. It ends when \
            only 'mq migrate finish' is left.

            Modes: with 'drain' consumers handle what is ready on the old side; with 'bridge' it is carried over; 'shadow' \
            is a rehearsal: everything is copied to a queue beside it, compared and deleted.

            EXAMPLES:
              mq migrate apply --queue orders --from redis --to sqlite
              mq migrate apply --queue orders --from sqlite --to redis --mode bridge --rate 500
              mq migrate apply --queue orders --plan plan.json --to redis --accept-loss keyed-order

            EXIT CODES:
              0 done but for 'finish', 1 failed or forbidden, 3 stopped on the way, 4 there is no such queue, 6 broker \
            unreachable, 7 the shadow differs, 64 bad usage.
            """
    )

    @OptionGroup var global: GlobalOptions
    @OptionGroup var options: MigrateOptions

    @Option(help: ArgumentHelp("drain, bridge or shadow.", valueName: "mode"))
    var mode = Mode.drain

    @Option(
        help: ArgumentHelp(
            "A plan that was looked at; the source must not have moved away from it.",
            valueName: "file"
        ),
        completion: .file(extensions: ["json"])
    )
    var plan: String?

    @Option(help: ArgumentHelp("By which share the plan's figures may differ, in percent.", valueName: "percent"))
    var tolerance = 10

    @Option(
        name: .customLong("accept-loss"),
        help: ArgumentHelp("Accept a loss that the plan names; can be given several times.", valueName: "name")
    )
    var acceptLoss: [String] = []

    @Option(help: ArgumentHelp("The most messages per second that are carried over.", valueName: "number"))
    var rate: Int?

    @Option(
        help: ArgumentHelp("Stop when nothing gets better for so long.", valueName: "duration"),
        transform: DurationArgument.parse
    )
    var patience: Duration = .seconds(600)

    @OptionGroup var limits: LimitOptions

    func validate() throws {
        if let rate, rate < 1 { throw ValidationError("--rate must be at least 1") }
        guard 0...1000 ~= tolerance else { throw ValidationError("--tolerance is 0 to 1000 percent") }
    }

    func run() async throws {
        let session = try MigrateSession(global, options)
        if mode == .shadow { return try await rehearse(session) }
        let known = try plan.map { try MigrationPlanFile.read($0) }
        let screen = MigrationScreen(global.output)
        let migration = try await session.ending {
            let latest = try await session.latest()
            if latest?.isLive != true { try await checkBeforeCreating(session) }
            return try await session.withSides(creates: true, latest?.isLive == true ? latest : nil) { from, to in
                let migrator = Migrator(
                    journal: try MigrationJournal(path: session.setting.journal),
                    from: from,
                    to: to,
                    options: MigrationOptions(
                        mode: mode == .bridge ? .bridge : .drain,
                        acceptedLosses: Set(acceptLoss),
                        plan: known,
                        tolerance: Double(tolerance) / 100,
                        rate: rate,
                        lease: session.setting.lease,
                        patience: patience,
                        limits: limits.limits,
                        sendsCanary: limits.canary
                    ),
                    report: { screen.show($0) }
                )
                return try await migrator.apply(options.queue)
            }
        }
        screen.end()
        try MigrationReport.report(
            migration,
            moved: screen.moved,
            global.output,
            note: "'mq migrate verify --queue \(options.queue)' compares, 'mq migrate finish --queue \(options.queue)' "
                + "is the last word"
        )
    }

    /// What forbids the move is told before a file is made for the target.
    private func checkBeforeCreating(_ session: MigrateSession) async throws {
        try await session.withSides(creates: false) { from, to in
            let isThere: Bool
            do throws(QueueError) {
                _ = try await to.queue.queues()
                isThere = true
            } catch {
                guard error.code == .notFound else { throw error }
                isThere = false
            }
            if isThere { return }
            let plan = try await Surveyor(from: from, to: to).plan(
                options.queue,
                mode: mode == .bridge ? .bridge : .drain
            )
            try plan.check(accepting: Set(acceptLoss))
        }
    }

    private func rehearse(_ session: MigrateSession) async throws {
        let result = try await session.ending {
            try await session.withSides(creates: true) { from, to in
                try await Shadow(from: from, to: to).rehearse(options.queue, accepting: Set(acceptLoss))
            }
        }
        if global.output.isJSON {
            try global.output.document([("queue", .string(options.queue))] + MigrationReport.members(result))
        } else {
            try global.output.line("\(result.matched) messages are the same on the other side")
        }
        guard result.isSame else {
            MigrationReport.tell(result, global.output)
            throw end(.mismatch)
        }
    }
}
#endif

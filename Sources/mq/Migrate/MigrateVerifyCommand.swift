#if SQLite
import ArgumentParser
import Messaging
import MessagingMigration

/// Compares both sides of a migration.
struct MigrateVerifyCommand: GlobalCommand {
    static let configuration = CommandConfiguration(
        commandName: "verify",
        abstract: "Compare what was carried over with what is there, message by message.",
        discussion: """
            Compares ids and contents, never counts. Retries and schedules whose time has not come and dead letters must \
            be on the new side as they were; what may have been handled since is compared where it is still there. \
            Changes nothing.

            EXAMPLES:
              mq migrate verify --queue orders
              mq migrate verify --queue orders --from redis --to sqlite --json

            EXIT CODES:
              0 the same, 1 failed, 4 there is no such migration, 6 broker unreachable, 7 something differs, 64 bad usage.
            """
    )

    @OptionGroup var global: GlobalOptions
    @OptionGroup var options: MigrateOptions

    func run() async throws {
        let session = try MigrateSession(global, options)
        let (migration, found) = try await session.ending {
            try await session.withSides(creates: false, try await session.required()) { from, to in
                let journal = try MigrationJournal(path: session.setting.journal)
                return try await Migrator(journal: journal, from: from, to: to).verify(options.queue)
            }
        }
        let isLate = migration.state >= .verifying
        let isSame = found.mismatches == 0 && (!isLate || found.leftBehind.isEmpty)
        let output = global.output
        if output.isJSON {
            try output.document(MigrationReport.members(migration) + MigrationReport.members(found))
        } else {
            try output.line("\(found.carried.matched) messages are the same on the other side")
        }
        if found.unprovable > 0 {
            output.note(
                "\(Format.count(found.unprovable, "message")) may have been handled since they were carried over"
            )
        }
        if !found.repeated.isEmpty {
            output.note(
                "there twice, as a crash allows while it is carried over: "
                    + found.repeated.prefix(20).joined(separator: ", ")
            )
        }
        for (state, ids) in found.leftBehind.sorted(by: { $0.key.rawValue < $1.key.rawValue }) {
            output.note("still on \(migration.from), \(state.rawValue): \(ids.prefix(20).joined(separator: ", "))")
        }
        MigrationReport.tell(found.carried, output)
        if !found.onBothSides.isEmpty {
            output.error("on both sides: \(found.onBothSides.prefix(20).joined(separator: ", "))")
        }
        for (id, reason) in found.refused.prefix(20) { output.error("refused: \(id): \(reason)") }
        if !isSame { throw end(.mismatch) }
    }
}
#endif

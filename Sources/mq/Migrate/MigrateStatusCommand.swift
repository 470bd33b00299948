#if SQLite
import ArgumentParser
import Messaging
import MessagingMigration

#if canImport(FoundationEssentials)
import FoundationEssentials
#else
import Foundation
#endif

/// Tells how far migrations are.
struct MigrateStatusCommand: GlobalCommand {
    static let configuration = CommandConfiguration(
        commandName: "status",
        abstract: "Tell how far migrations are, and who takes part.",
        discussion: """
            Reads the journal alone; no broker is asked.

            EXAMPLES:
              mq migrate status
              mq migrate status --queue orders --json

            EXIT CODES:
              0 told, 1 the journal cannot be read, 4 there is no migration, 64 bad usage.
            """
    )

    @OptionGroup var global: GlobalOptions
    @OptionGroup var file: JournalOption

    @Option(help: "Only this queue.", completion: .queues)
    var queue: String?

    func run() async throws {
        let setting = try MigrationSetting(try global.settings(), journal: file.journal)
        do {
            try await report(try MigrationJournal(path: setting.journal, creates: false))
        } catch let error as MigrationError {
            throw MigrateSession.cliError(error, queue ?? "")
        }
    }

    private func report(_ journal: MigrationJournal) async throws {
        let found = try await journal.all().filter { queue == nil || $0.queue == queue }
        guard !found.isEmpty else {
            throw MigrationError(.notFound, "there is no migration\(queue.map { " of '\($0)'" } ?? "")")
        }
        var rows: [JSON] = []
        var table = Table([
            "QUEUE", "FROM", "TO", "STATE", "OVER", "CARRIED", "REFUSED", "PROCESSES", "BEHIND", "FAILING",
        ])
        for migration in found {
            let counts = try await journal.counts(of: migration)
            let members = migration.isLive ? try await journal.participants(of: migration, now: Date()) : []
            let lately = members.reduce(into: PublicationCount()) { sum, member in
                sum.attempted += member.lately.attempted
                sum.failed += member.lately.failed
            }
            let present = members.filter { !$0.hasLeft }
            let behind = present.filter { $0.epoch < migration.epoch }.map(\.name)
            let carried = (counts[.done] ?? 0) + (counts[.removed] ?? 0)
            rows.append(
                .object(
                    MigrationReport.members(migration) + [
                        ("carried", .integer(carried)), ("open", .integer(counts[.intent] ?? 0)),
                        ("refused", .integer(counts[.refused] ?? 0)), ("processes", .integer(present.count)),
                        ("behind", .array(behind.map { .string($0) })),
                        ("lately_published", .integer(lately.attempted)), ("lately_failed", .integer(lately.failed)),
                    ]
                )
            )
            table.rows.append([
                migration.queue, migration.from, migration.to, MigrationReport.words(migration),
                "\(migration.percent) %", String(carried), String(counts[.refused] ?? 0), String(present.count),
                behind.isEmpty ? "-" : behind.joined(separator: ", "),
                lately.failed == 0 ? "-" : "\(lately.failed) of \(lately.attempted)",
            ])
        }
        if global.output.isJSON { return try global.output.document([("migrations", .array(rows))]) }
        try global.output.table(table)
    }
}
#endif

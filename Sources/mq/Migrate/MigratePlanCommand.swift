#if SQLite
import ArgumentParser
import Messaging
import MessagingMigration

#if canImport(FoundationEssentials)
import FoundationEssentials
#else
import Foundation
#endif

extension MigrationMode: ExpressibleByArgument {}

/// Shows what a migration would do.
struct MigratePlanCommand: GlobalCommand {
    static let configuration = CommandConfiguration(
        commandName: "plan",
        abstract: "Show what moving a queue would do, and write nothing.",
        discussion: """
            Looks at everything that the queue holds, in every state, and at what the target can do. The signs: '+' is \
            created, '~' becomes something else without loss, '!' is lost unless accepted by its name, '→' is carried \
            over, '✗' forbids it, '·' is to know.

            EXAMPLES:
              mq migrate plan --queue orders --from redis --to sqlite
              mq migrate plan --queue orders --from redis --to rabbitmq --json
              mq migrate plan --queue orders --from sqlite --to redis --mode bridge --out plan.json

            EXIT CODES:
              0 it can be done, 1 something forbids it, 4 there is no such queue, 6 broker unreachable, 64 bad usage.
            """
    )

    @OptionGroup var global: GlobalOptions
    @OptionGroup var options: MigrateOptions

    @Option(help: ArgumentHelp("How what is ready leaves the old side: drain or bridge.", valueName: "mode"))
    var mode = MigrationMode.drain

    @Option(help: ArgumentHelp("Write the plan to a file, for 'mq migrate apply --plan'.", valueName: "file"))
    var out: String?

    func run() async throws {
        let session = try MigrateSession(global, options)
        let plan = try await session.ending {
            try await session.withSides(creates: false) { from, to in
                try await Surveyor(from: from, to: to).plan(options.queue, mode: mode)
            }
        }
        if let out { try MigrationPlanFile(plan).write(to: out) }
        if global.output.isJSON {
            try global.output.document(MigrationReport.members(plan))
        } else {
            for line in MigrationReport.lines(plan, global.output.terminal) { try global.output.line(line) }
        }
        if !plan.blocked.isEmpty { throw end(.failed) }
    }
}

/// A plan as a file.
struct MigrationPlanFile: Codable {
    var schemaVersion = Output.schemaVersion
    var plan: MigrationPlan

    init(_ plan: MigrationPlan) { self.plan = plan }

    /// Reads a file that `plan --out` has written.
    static func read(_ path: String) throws -> MigrationPlan {
        let data: Data
        do {
            data = try Data(contentsOf: URL(filePath: path))
        } catch {
            throw CLIError(.failed, "cannot read the plan '\(path)'", do: "check --plan")
        }
        let decoder = JSONDecoder()
        decoder.dateDecodingStrategy = .secondsSince1970
        guard let file = try? decoder.decode(MigrationPlanFile.self, from: data),
            file.schemaVersion == Output.schemaVersion
        else {
            throw CLIError(
                .usage,
                "'\(path)' is not a plan of this version",
                do: "make it with 'mq migrate plan --out'"
            )
        }
        return file.plan
    }

    func write(to path: String) throws {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .prettyPrinted]
        encoder.dateEncodingStrategy = .secondsSince1970
        do {
            try encoder.encode(self).write(to: URL(filePath: path), options: .atomic)
        } catch {
            throw CLIError(.failed, "cannot write the plan to '\(path)'", do: "check its folder and rights")
        }
    }
}
#endif

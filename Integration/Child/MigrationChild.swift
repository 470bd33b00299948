#if SQLite
import Foundation
import Logging
import Messaging
import MessagingMigration
import Synchronization

/// Carries out a migration, and kills or stops itself at a failpoint when the environment says so.
enum MigrationChild {
    /// `EFFECT.SIDE:HIT`, such as `restore.after:2`.
    private static let variable = "MQ_CHILD_FAILPOINT"
    /// Set when it is to stop there and not to die: a file; whoever wakes it before that is there finds it stopped again.
    private static let stopVariable = "MQ_CHILD_STOPS"

    static func run(
        from source: MigrationSide,
        to target: MigrationSide,
        journal: String,
        _ name: String,
        _ command: String
    ) async throws {
        let counts = Mutex<[String: Int]>([:])
        let trip = ProcessInfo.processInfo.environment[variable].map { text -> (String, Int) in
            let parts = text.split(separator: ":")
            return (String(parts.first ?? ""), parts.last.flatMap { Int($0) } ?? 1)
        }
        let goAhead = ProcessInfo.processInfo.environment[stopVariable]
        let journal = try MigrationJournal(path: journal)
        var migrator = Migrator(
            journal: journal,
            from: source,
            to: target,
            options: MigrationOptions(
                mode: .bridge,
                acceptedLosses: [
                    "durability", "keyed-order", "id-conflict", "fenced-settle", "renewal", "deduplication",
                    "schedule-list", "atomic-move", "confirmed-settle",
                ],
                lease: .milliseconds(100),
                patience: .seconds(30),
                // The mock cluster of Kafka makes no topics, and the stand-in takes seconds for them.
                sendsCanary: target.queue.system != "kafka"
            )
        )
        // Several pages of the few messages that a test has time for.
        migrator.page = 64
        // Whoever comes after one that was killed waits for this long.
        migrator.shortestControl = .milliseconds(200)
        migrator.failpoints = Failpoints { point in
            let count = counts.withLock { counts in
                counts["\(point)", default: 0] += 1
                return counts["\(point)"] ?? 0
            }
            // To this thread, so that it does not go on for a moment.
            guard let trip, trip.0 == "\(point)", trip.1 == count else { return }
            guard let goAhead else { return _ = raise(SIGKILL) }
            repeat {
                raise(SIGSTOP)
                // For other threads, which may have been stopped while they wrote to a file.
                if access(goAhead, F_OK) != 0 { usleep(20_000) }
            } while access(goAhead, F_OK) != 0
        }
        switch command {
        case "quarantine": _ = try await migrator.apply(name)
        case "rollback": _ = try await migrator.rollback(name)
        case "forward":
            _ = try await migrator.resumeForward(name)
            _ = try await migrator.finish(name)
        default:
            // A kill at the last effect comes when there is nothing left to be carried out.
            if try await journal.latest(name)?.isLive ?? true { _ = try await migrator.apply(name) }
            _ = try await migrator.finish(name)
        }
        for (point, count) in counts.withLock({ $0 }).sorted(by: { $0.key < $1.key }) {
            QueueChild.say("hit \(point) \(count)")
        }
        await source.queue.close()
        await target.queue.close()
    }
}
#endif

import ArgumentParser
import Messaging

/// Shows the figures of queues and groups.
struct StatusCommand: GlobalCommand {
    static let configuration = CommandConfiguration(
        commandName: "status",
        abstract: "Show the figures of queues and their groups.",
        discussion: """
            One row per queue and group: ready, in flight, delayed, dead, consumers, age of the oldest unfinished \
            message, and lag (ready, in flight and delayed together). '~' marks an estimate, '-' what the backend cannot \
            tell; --json gives the reason.

            EXAMPLES:
              mq status --backend redis
              mq status queue:analysis --json
              MQ_BACKEND=redis://10.0.0.7:6379 mq status
            """
    )

    @OptionGroup var global: GlobalOptions

    @Argument(help: "The queue; all of them by default.")
    var queue: String?

    func validate() throws {
        if let queue { try Arguments.check(queue: queue) }
    }

    func run() async throws {
        try await global.withQueue { backend in
            let output = global.output
            let found = try await statistics(backend.queue)
            if output.isJSON {
                return try output.document([
                    ("backend", .string(backend.description)), ("queues", .array(found.map(StatusReport.json))),
                ])
            }
            guard !found.isEmpty else {
                let why =
                    backend.isEphemeral
                    ? "; \(OpenBackend.ephemeralNote)" : "; 'mq publish QUEUE BODY --create' makes one"
                return output.note("no queues on \(backend.description)\(why)")
            }
            try output.table(StatusReport.table(found))
        }
    }

    private func statistics(_ backend: any MessageQueue) async throws -> [QueueStatistics] {
        if let queue { return [try await backend.statistics(of: queue)] }
        var found: [QueueStatistics] = []
        for name in try await backend.queues() {
            do throws(QueueError) {
                found.append(try await backend.statistics(of: name))
            } catch {
                // A queue may go between the list and its figures.
                guard error.code == .notFound else { throw error }
            }
        }
        return found
    }
}

/// The figures of queues as a table and as JSON.
enum StatusReport {
    static func table(_ queues: [QueueStatistics]) -> Table {
        var table = Table(
            ["QUEUE", "GROUP", "READY", "IN-FLIGHT", "DELAYED", "DEAD", "CONSUMERS", "OLDEST", "LAG"],
            numeric: [2, 3, 4, 5, 6, 7, 8]
        )
        for queue in queues {
            if queue.groups.isEmpty {
                table.rows.append(
                    [queue.queue, "(none)", "-", "-", Format.figure(queue.scheduled), "-", "-", "-", "-"]
                )
            }
            for group in queue.groups {
                let figures = [group.ready, group.inFlight, group.delayed, group.dead, group.consumers]
                table.rows.append(
                    [queue.queue, group.group] + figures.map(Format.figure)
                        + [group.oldestAge.map(Format.age) ?? "-", Format.figure(group.lag)]
                )
            }
        }
        return table
    }

    static func json(_ queue: QueueStatistics) -> JSON {
        .object(
            [("queue", .string(queue.queue))]
                + members([("scheduled", queue.scheduled), ("stored", queue.stored)], between: [])
                + [("groups", .array(queue.groups.map(json)))]
        )
    }

    private static func json(_ group: GroupStatistics) -> JSON {
        .object(
            [("group", .string(group.group))]
                + members(
                    [
                        ("ready", group.ready), ("in_flight", group.inFlight), ("delayed", group.delayed),
                        ("dead", group.dead), ("consumers", group.consumers), ("lag", group.lag),
                    ],
                    between: [("oldest_age_seconds", group.oldestAge.map { .seconds($0.inSeconds) } ?? .null)]
                )
        )
    }

    /// Figures as plain numbers, followed by the names of estimates and the reasons for what is `null`.
    private static func members(_ figures: [(String, Figure)], between: [(String, JSON)]) -> [(String, JSON)] {
        var reasons: [(String, JSON)] = []
        var estimates: [JSON] = []
        for (name, figure) in figures {
            switch figure.grade {
            case .exact: break
            case .estimate: estimates.append(.string(name))
            case .unavailable(let reason): reasons.append((name, .string(reason)))
            }
        }
        return figures.map { ($0.0, JSON($0.1.value)) } + between
            + [("estimates", .array(estimates)), ("unavailable", .object(reasons))]
    }
}

import ArgumentParser
import Logging
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

            With --watch the table is drawn again and again, with messages per second: LAG/S is by how much a group falls \
            behind, PUBLISH/S what became available, SETTLE/S what the group has done with. A broker that does not \
            answer is told and asked again. On a terminal the table stays in place; otherwise each look is a block, or a \
            document per line with --json. Ctrl-C ends it.

            EXAMPLES:
              mq status --backend redis
              mq status queue:analysis --json
              mq status --watch --every 5s
              mq status orders --watch --json --count 3
              MQ_BACKEND=redis://10.0.0.7:6379 mq status

            EXIT CODES:
              0 done, 4 there is no such queue, 6 broker unreachable (not with --watch), 64 bad usage.
            """
    )

    @OptionGroup var global: GlobalOptions

    @Argument(help: "The queue; all of them by default.", completion: .queues)
    var queue: String?

    @Flag(help: "Look again and again until Ctrl-C.")
    var watch = false

    @Option(
        help: ArgumentHelp("With --watch: how long from one look to the next; 2s by default.", valueName: "duration"),
        transform: DurationArgument.parse
    )
    var every: Duration?

    @Option(help: ArgumentHelp("With --watch: end after this many looks.", valueName: "number"))
    var count: Int?

    func validate() throws {
        if let queue { try Arguments.check(queue: queue) }
        if !watch, every != nil || count != nil { throw ValidationError("--every and --count need --watch") }
        if let every, !(.milliseconds(100)...PipelineLimits.year ~= every) {
            throw ValidationError("--every must be at least 100ms")
        }
        if let count, count < 1 { throw ValidationError("--count must be at least 1") }
    }

    func run() async throws {
        if watch { return try await runWatch() }
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

    private func runWatch() async throws {
        let output = global.output
        let environment = global.environment
        let noColor = global.noColor
        let isLive = output.terminal.isTerminal && environment["TERM"] != "dumb" && !output.isJSON
        // The second signal ends the process where it stands; the screen must come back all the same.
        let restore: @Sendable () -> Void = {
            if isLive { try? POSIX.write(Array(StatusScreen.leave.utf8), to: POSIX.standardOutput) }
        }
        try await Interrupt.cancelling(restoring: restore) {
            // What a backend logs would tear the table apart; the table itself says what is wrong.
            try await global.withQueue(level: isLive ? .critical : nil) { backend in
                try await StatusWatch(
                    queue: backend.queue,
                    backend: backend.description,
                    name: queue,
                    every: every ?? .seconds(2),
                    count: count,
                    output: output
                ) {
                    .init(
                        terminal: Terminal.of(POSIX.standardOutput, noColor: noColor, environment: environment),
                        rows: isLive ? POSIX.rows(POSIX.standardOutput) : nil
                    )
                }.run()
            }
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

    static func json(_ queue: QueueStatistics) -> JSON { json(queue, rates: nil) }

    /// A queue with its groups, and with their rates where they are watched.
    static func json(_ queue: QueueStatistics, rates: StatusRates?) -> JSON {
        .object(
            [("queue", .string(queue.queue))]
                + members([("scheduled", queue.scheduled), ("stored", queue.stored)], between: [])
                + [("groups", .array(queue.groups.map { json($0, rates?.rate(of: $0.group, in: queue.queue)) }))]
        )
    }

    private static func json(_ group: GroupStatistics, _ rate: StatusRates.Rate?) -> JSON {
        let rates: [(String, JSON)] =
            rate.map { rate in
                [
                    ("lag_per_second", number(rate.lag)), ("published_per_second", number(rate.published)),
                    ("settled_per_second", number(rate.settled)),
                ]
            } ?? []
        return .object(
            [("group", .string(group.group))]
                + members(
                    [
                        ("ready", group.ready), ("in_flight", group.inFlight), ("delayed", group.delayed),
                        ("dead", group.dead), ("consumers", group.consumers), ("lag", group.lag),
                    ],
                    between: [("oldest_age_seconds", group.oldestAge.map { .seconds($0.inSeconds) } ?? .null)]
                ) + rates
        )
    }

    private static func number(_ rate: Double?) -> JSON { rate.map { .seconds($0) } ?? .null }

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

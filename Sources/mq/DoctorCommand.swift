import ArgumentParser
import Logging
import Messaging

/// Checks the chosen backend and says what to do.
struct DoctorCommand: GlobalCommand {
    static let configuration = CommandConfiguration(
        commandName: "doctor",
        abstract: "Check the chosen backend and say what to do.",
        discussion: """
            Prints each check as ok, warn or fail. Nothing is written to the broker unless --round-trip is given, which \
            publishes, consumes and acknowledges one message on the scratch queue 'mq-doctor'; that queue stays.

            EXAMPLES:
              mq doctor --backend redis
              mq doctor --backend redis://10.0.0.7:6379 --round-trip
              mq doctor --json

            EXIT CODES:
              0 nothing failed, 1 a check failed, 6 broker unreachable, 64 bad usage.
            """
    )

    @OptionGroup var global: GlobalOptions

    @Flag(help: "Send one message through the scratch queue 'mq-doctor'.")
    var roundTrip = false

    func run() async throws {
        try await Interrupt.cancelling {
            let report = try await global.withQueue(creates: roundTrip, level: .error) { backend in
                await Doctor(backend: backend, sendsMessage: roundTrip).examine()
            }
            let output = global.output
            if output.isJSON {
                try output.document([
                    ("backend", .string(report.backend)), ("checks", .array(report.checks.map(\.json))),
                ])
            } else {
                for check in report.checks { try output.line(check.line(output.terminal)) }
            }
            if let status = report.status { throw end(status) }
        }
    }
}

/// One check of the doctor.
struct DoctorCheck: Sendable {
    enum Grade: String, Sendable {
        case ok
        case warn
        case fail
    }

    let name: String
    let grade: Grade
    let detail: String
    var advice: String?

    func line(_ terminal: Terminal) -> String {
        let style: Terminal.Style =
            switch grade {
            case .ok: .green
            case .warn: .yellow
            case .fail: .red
            }
        let padding = String(repeating: " ", count: max(1, 6 - grade.rawValue.count))
        let place = String(repeating: " ", count: max(1, 13 - name.count))
        let text = Redacted.line(Redacted.text(advice.map { "\(detail); \($0)" } ?? detail))
        return terminal.styled(grade.rawValue, style) + padding + name + place + text
    }

    var json: JSON {
        [
            "check": .string(name), "result": .string(grade.rawValue), "detail": .string(Redacted.text(detail)),
            "advice": JSON(advice),
        ]
    }
}

/// Examines a backend.
struct Doctor: Sendable {
    struct Report: Sendable {
        let backend: String
        var checks: [DoctorCheck] = []
        var isUnreachable = false

        /// How the command ends; `nil` when nothing failed.
        var status: ExitStatus? {
            if isUnreachable { return .unreachable }
            return checks.contains { $0.grade == .fail } ? .failed : nil
        }
    }

    static let scratch = QueueDefinition("mq-doctor", groups: [GroupDefinition("doctor")])

    let backend: OpenBackend
    let sendsMessage: Bool

    func examine() async -> Report {
        var report = Report(backend: backend.description)
        report.checks.append(
            DoctorCheck(name: "backend", grade: .ok, detail: "\(backend.description), chosen by \(backend.source)")
        )
        do {
            let start = ContinuousClock.now
            let capabilities = try await backend.queue.capabilities()
            let time = Format.age(start.duration(to: .now))
            report.checks.append(DoctorCheck(name: "reachable", grade: .ok, detail: "answered within \(time)"))
            report.checks += Self.judge(capabilities)
        } catch {
            report.isUnreachable = error.code == .unavailable
            report.checks.append(DoctorCheck(name: "reachable", grade: .fail, detail: CLIErrors.text(error)))
            return report
        }
        report.checks.append(await queues())
        if sendsMessage { report.checks.append(await sendMessage()) }
        return report
    }

    /// What the capabilities mean for an operator.
    static func judge(_ capabilities: Capabilities) -> [DoctorCheck] {
        var checks = [
            DoctorCheck(name: "version", grade: .ok, detail: "\(capabilities.system) \(capabilities.version)"),
            durability(capabilities.durability),
        ]
        checks += capabilities.findings.map { DoctorCheck(name: "finding", grade: .warn, detail: $0) }
        let missing = Capabilities.Feature.allCases.filter { $0 != .persistence && !capabilities[$0].isAvailable }
        if !missing.isEmpty {
            let names = missing.map(\.description).joined(separator: ", ")
            checks.append(
                DoctorCheck(name: "features", grade: .ok, detail: "without \(names)", advice: "'mq backends' says why")
            )
        }
        return checks
    }

    private static func durability(_ grade: Capabilities.Durability) -> DoctorCheck {
        let name = "durability"
        switch grade {
        case .replicated:
            return DoctorCheck(name: name, grade: .ok, detail: "what is confirmed survives the loss of a machine")
        case .disk:
            return DoctorCheck(name: name, grade: .ok, detail: "what is confirmed survives a crash of the server")
        case .window(let time):
            return DoctorCheck(
                name: name,
                grade: .ok,
                detail: "a crash loses at most the last \(Format.age(time)) before it"
            )
        case .memory:
            return DoctorCheck(
                name: name,
                grade: .warn,
                detail: "what is confirmed is in memory only",
                advice: "turn persistence on, or choose a durable backend, if messages matter"
            )
        case .unknown(let reason):
            return DoctorCheck(
                name: name,
                grade: .warn,
                detail: "unknown: \(reason)",
                advice: "grant the user that right, or look at the server's configuration"
            )
        }
    }

    private func queues() async -> DoctorCheck {
        do {
            let names = try await backend.queue.queues()
            var dead = 0
            for name in names {
                let groups = try await backend.queue.statistics(of: name).groups
                dead += groups.reduce(0) { $0 + ($1.dead.value ?? 0) }
            }
            let detail = "\(Format.count(names.count, "queue")), \(Format.count(dead, "dead letter"))"
            return DoctorCheck(
                name: "queues",
                grade: dead == 0 ? .ok : .warn,
                detail: detail,
                advice: dead == 0 ? nil : "'mq status' says where, 'mq dlq list QUEUE' why"
            )
        } catch {
            return DoctorCheck(name: "queues", grade: .fail, detail: CLIErrors.text(error))
        }
    }

    private func sendMessage() async -> DoctorCheck {
        let start = ContinuousClock.now
        do {
            try await backend.queue.declare(Self.scratch)
            let message = Message(text: "mq doctor")
            try await backend.queue.publish(message, to: Self.scratch.name)
            let name = "doctor-\(message.id)"
            let didArrive = try await backend.queue.withConsumer(of: Self.scratch.name, group: "doctor", consumer: name)
            { member in
                while start.duration(to: .now) < .seconds(10) {
                    // The queue is this command's own; what an earlier run left behind goes too.
                    for delivery in try await member.receive(max: 10, wait: .seconds(2)) {
                        try await member.acknowledge(delivery)
                        if delivery.message.id == message.id { return true }
                    }
                }
                return false
            }
            let time = Format.age(start.duration(to: .now))
            guard didArrive else {
                return DoctorCheck(
                    name: "round trip",
                    grade: .fail,
                    detail: "the message did not come back within \(time)",
                    advice: "another 'mq doctor' may have taken it; run it again"
                )
            }
            return DoctorCheck(
                name: "round trip",
                grade: .ok,
                detail: "published, received and acknowledged in \(time)"
            )
        } catch {
            let text = (error as? QueueError).map(CLIErrors.text) ?? "\(error)"
            return DoctorCheck(name: "round trip", grade: .fail, detail: text)
        }
    }
}

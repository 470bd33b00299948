import ArgumentParser
import Logging
import Messaging

/// Shows which backends this build has and what they can do.
struct BackendsCommand: GlobalCommand {
    static let configuration = CommandConfiguration(
        commandName: "backends",
        abstract: "Show the backends of this build and what they can do.",
        discussion: """
            What a broker can do depends on its version and configuration, so each backend is asked: the chosen \
            one where it is, and the others at their defaults. 'native' is the broker's own, 'emulated' is done on top of \
            it, 'no' cannot be had, '-' means that the broker did not answer.

            EXAMPLES:
              mq backends
              mq backends --backend redis://10.0.0.7:6379
              mq backends --json

            EXIT CODES:
              0 done, also when a backend does not answer, 64 bad usage.
            """
    )

    @OptionGroup var global: GlobalOptions

    func run() async throws {
        let settings = try global.settings()
        let given = global.backend.map { Settings.Value(text: $0, source: "--backend") } ?? settings.value("backend")
        let chosen = try given.map { (text: $0.text, kind: try Backends.kind(of: $0).name) }
        var reports: [BackendReport] = []
        for kind in Backends.list {
            let spec = chosen?.kind == kind.name ? chosen?.text : kind.name
            reports.append(await ask(kind, spec ?? kind.name, settings))
        }
        let output = global.output
        if output.isJSON {
            return try output.document([("backends", .array(reports.map(\.json)))])
        }
        try output.table(BackendReport.table(reports))
        for report in reports where report.problem != nil {
            output.note("\(report.kind.name): \(report.problem ?? "")")
        }
    }

    private func ask(_ kind: Backends.Kind, _ spec: String, _ settings: Settings) async -> BackendReport {
        guard kind.isBuilt else { return BackendReport(kind: kind, problem: "not part of this build yet") }
        do {
            let opened = try Backends.open(
                spec,
                settings: settings,
                timeout: global.timeout ?? .seconds(2),
                logger: global.logger(.error)
            )
            var report = BackendReport(kind: kind, address: opened.description)
            do {
                report.capabilities = try await opened.queue.capabilities()
            } catch {
                report.problem = CLIErrors.text(error)
            }
            await opened.queue.close()
            return report
        } catch {
            return BackendReport(kind: kind, problem: (error as? QueueError)?.message ?? "\(error)")
        }
    }
}

/// What is known of one backend.
struct BackendReport: Sendable {
    let kind: Backends.Kind
    var address: String?
    var capabilities: Capabilities?
    var problem: String?

    static func table(_ reports: [BackendReport]) -> Table {
        let built = reports.filter(\.kind.isBuilt)
        var table = Table(["FEATURE"] + built.map { $0.kind.name.uppercased() })
        func row(_ name: String, _ value: (BackendReport) -> String?) {
            table.rows.append([name] + built.map { value($0) ?? "-" })
        }
        row("address", \.address)
        row("version") { $0.capabilities?.version }
        row("durability") { $0.capabilities.map { Format.durability($0.durability) } }
        row("max body") { $0.capabilities.map { "\($0.maxBodyBytes >> 20) MiB" } }
        for feature in Capabilities.Feature.allCases {
            row("\(feature)") { $0.capabilities.map { word($0[feature]).name } }
        }
        return table
    }

    var json: JSON {
        let durability = capabilities.map { Format.durability($0.durability) }
        let features = capabilities.map { known in
            JSON.object(
                Capabilities.Feature.allCases.map { feature in
                    let (name, note) = Self.word(known[feature])
                    return ("\(feature)", ["support": .string(name), "note": JSON(note)])
                }
            )
        }
        return [
            "name": .string(kind.name), "schemes": .array(kind.schemes.map { .string($0) }),
            "summary": .string(kind.summary), "in_this_build": .bool(kind.isBuilt), "address": JSON(address),
            "reachable": .bool(capabilities != nil), "problem": JSON(problem.map(Redacted.text)),
            "version": JSON(capabilities?.version), "durability": JSON(durability),
            "max_body_bytes": JSON(capabilities?.maxBodyBytes), "features": features ?? .null,
        ]
    }

    private static func word(_ support: Capabilities.Support) -> (name: String, note: String?) {
        switch support {
        case .native: ("native", nil)
        case .emulated(let note): ("emulated", note)
        case .unavailable(let note): ("no", note)
        }
    }
}

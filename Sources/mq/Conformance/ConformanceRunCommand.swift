import ArgumentParser
import Logging
import Messaging
import MessagingConformance
import Synchronization

/// Runs the contract suite on the chosen backend.
struct ConformanceRunCommand: GlobalCommand {
    static let configuration = CommandConfiguration(
        commandName: "run",
        abstract: "Run the contract suite on a backend and report each case.",
        discussion: """
            Every case publishes to and consumes from queues of its own, named 'conformance-…'; nothing else on the broker \
            is touched, and they are deleted with the case where the backend can do that. Without a URL, sqlite is a temporary \
            file. Ctrl-C stops after the running case and reports what there is; pressed again, it ends at once.

            Each case passes, fails, is unsupported (the backend says that it cannot do it), is not possible here, or is \
            known to fail. A case marked with --known that passes has failed, so that no mark outlives its reason. No case \
            is run again.

            EXAMPLES:
              mq conformance run --backend redis
              mq conformance run --backend sqlite --tier full --junit report.xml
              mq conformance run --backend redis --case lease.fence --case lease.extend
              mq conformance run --backend redis --family groups --json > redis.json
              mq conformance run --backend redis --known 'delay.precision=this machine is slow'
              mq conformance run --list

            EXIT CODES:
              0 no case failed, 1 a case failed, 3 stopped before the end, 6 broker unreachable, 64 bad usage.
            """
    )

    /// How much is run.
    enum Tier: String, ExpressibleByArgument, CaseIterable {
        case quick
        case full

        var tier: ConformanceCase.Tier { self == .quick ? .quick : .full }
    }

    @OptionGroup var global: GlobalOptions

    @Option(help: "How much to run: quick (seconds a case), or full (long waits and many messages too).")
    var tier: Tier = .quick

    @Option(
        name: .customLong("case"),
        help: ArgumentHelp("Only this case, whatever its tier; can be given again.", valueName: "id"),
        completion: .list(Conformance.all.map(\.id))
    )
    var cases: [String] = []

    @Option(
        name: .customLong("family"),
        help: ArgumentHelp("Only the cases of this family; can be given again.", valueName: "family")
    )
    var families: [ConformanceCase.Family] = []

    @Option(
        help: ArgumentHelp("A case that is known to fail, and why; can be given again.", valueName: "id=reason"),
        completion: .list(Conformance.all.map(\.id))
    )
    var known: [String] = []

    @Option(
        help: ArgumentHelp("The unit of leases and delays; longer is slower and steadier.", valueName: "duration"),
        transform: DurationArgument.parse
    )
    var timeUnit: Duration = .milliseconds(200)

    @Option(
        help: ArgumentHelp(
            "How much later than planned something may come, as on a busy machine.",
            valueName: "duration"
        ),
        transform: DurationArgument.parse
    )
    var tolerance: Duration = .seconds(1)

    @Option(help: ArgumentHelp("Write the report as JUnit XML, too.", valueName: "file"), completion: .file())
    var junit: String?

    @Option(help: ArgumentHelp("Write the report as JSON, too.", valueName: "file"), completion: .file())
    var out: String?

    @Flag(help: "Print the cases and run none.")
    var list = false

    func validate() throws {
        for id in try cases + marks().keys.sorted() where Conformance.find(id) == nil {
            throw ValidationError("there is no case '\(id)'; --list prints all")
        }
        if timeUnit < .milliseconds(50) || timeUnit > .seconds(60) {
            throw ValidationError("--time-unit must be 50ms to 60s")
        }
        if tolerance < .milliseconds(1) || tolerance > .seconds(60) {
            throw ValidationError("--tolerance must be 1ms to 60s")
        }
        if selection().isEmpty { throw ValidationError("no case of these families is in the tier \(tier.rawValue)") }
    }

    /// The cases that were asked for, in the suite's order.
    func selection() -> [ConformanceCase] {
        let wanted = Set(cases)
        return Conformance.all.filter { law in
            if wanted.contains(law.id) { return true }
            if !wanted.isEmpty, families.isEmpty { return false }
            return law.tier <= tier.tier && (families.isEmpty || families.contains(law.family))
        }
    }

    /// The known failures by the ids of their cases.
    func marks() throws -> [String: String] {
        var marks: [String: String] = [:]
        for mark in known {
            let parts = mark.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false).map(String.init)
            guard parts.count == 2, !parts[0].isEmpty, !parts[1].allSatisfy(\.isWhitespace) else {
                throw ValidationError("a known failure is id=reason")
            }
            guard marks.updateValue(parts[1], forKey: parts[0]) == nil else {
                throw ValidationError("--known names '\(parts[0])' twice")
            }
        }
        return marks
    }

    func run() async throws {
        let output = global.output
        if list { return try ConformanceList(cases: selection()).write(to: output) }
        let files = try [junit, out].compactMap(\.self).map(ReportFile.init)
        let broker = try ConformanceBroker(
            global.backend,
            settings: try global.settings(),
            timeout: global.timeout,
            logger: global.logger(.error)
        )
        defer { broker.remove() }
        let report = try await run(on: broker, output)
        let (stopped, result) = (report.stopped, report.report)
        if output.isJSON {
            try output.line(ReportFile.json(result))
        } else {
            try ConformanceTable(report: result).write(to: output)
        }
        for file in files {
            try file.write(file.path == junit ? JUnitXML.document(result) : ReportFile.json(result))
        }
        if let note = broker.note,
            result.features["\(Capabilities.Feature.deletion)"] == "no"
        {
            output.note(note)
        }
        if stopped {
            output.note("stopped after \(result.results.count) of \(Format.count(selection().count, "case"))")
            throw end(.partly)
        }
        if !result.isPassed { throw end(.failed) }
    }

    /// Runs the cases; a signal ends the run after the case that is under way.
    private func run(
        on broker: ConformanceBroker,
        _ output: Output
    ) async throws -> (report: ConformanceReport, stopped: Bool) {
        let cases = selection()
        let harness = CommandHarness(broker: broker, timeUnit: timeUnit, tolerance: tolerance)
        let runner = ConformanceRunner(harness, known: try marks())
        let isStopped = Mutex(false)
        let progress = ConformanceProgress(total: cases.count, output: output)
        let logger = global.logger()
        return try await Interrupt.cancelling(restoring: { output.progress(nil) }) {
            try await withTaskCancellationHandler {
                try await Interrupt.shielded {
                    defer { output.progress(nil) }
                    let report = try await runner.run(cases) { law in
                        if isStopped.withLock({ $0 }) { return false }
                        progress.show(law)
                        logger.debug("runs \(law.id)")
                        return true
                    } progress: { _ in
                        progress.countOne()
                    }
                    return (report, isStopped.withLock { $0 } && report.results.count < cases.count)
                }
            } onCancel: {
                isStopped.withLock { $0 = true }
                output.progress(nil)
                output.note("stopping after this case; once more ends at once")
            }
        }
    }
}

extension ConformanceCase.Family: ExpressibleByArgument {}

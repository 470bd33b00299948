import ArgumentParser
import Logging
import Messaging
import MessagingBaselines
import MessagingBenchmark

/// Measures the chosen backend.
struct BenchCommand: GlobalCommand {
    static let configuration = CommandConfiguration(
        commandName: "bench",
        abstract: "Measure a backend: throughput, latency, scaling, and the overhead over its client library.",
        discussion: """
            It publishes to and consumes from queues of its own, named 'bench-…', which are deleted at the end, after Ctrl-C \
            too; nothing else on the broker is touched. Without a URL, sqlite is a temporary file. docs/performance.md says what \
            each figure means and what limits it.

            With --baseline every figure of throughput is measured in turns with the client library alone (hiredis, librabbitmq, \
            librdkafka, SQLite), in this process, with the same body, window and durability, and the ratio of each pair is \
            shown. A series lets one quantity grow and measures at each value.

            EXAMPLES:
              mq bench --backend redis
              mq bench --backend redis --baseline --messages 200000 --no-dedupe
              mq bench --backend sqlite --workload throughput --json
              mq bench --backend rabbitmq --rate 500 --workload latency
              mq bench --backend redis --series backlog --max 10000000 --plot backlog.svg
              mq bench --backend redis --series idle

            EXIT CODES:
              0 done, 1 failed or stopped, 6 broker unreachable, 64 bad usage.
            """
    )

    /// What can be measured by itself.
    enum Workload: String, ExpressibleByArgument, CaseIterable {
        case throughput
        case worker
        case latency
    }

    @OptionGroup var global: GlobalOptions

    @Option(help: ArgumentHelp("The messages of one workload, shared out among the pairs.", valueName: "number"))
    var messages: Int = BenchmarkSettings().messages

    @Option(help: ArgumentHelp("The size of a body.", valueName: "bytes"))
    var size: Int = BenchmarkSettings().size

    @Option(
        help: ArgumentHelp(
            "How many messages one call has, and how many a worker handles at a time.",
            valueName: "number"
        )
    )
    var batch: Int = BenchmarkSettings().batch

    @Option(help: ArgumentHelp("How many consumers or workers share the messages.", valueName: "number"))
    var consumers: Int = BenchmarkSettings().consumers

    @Option(help: ArgumentHelp("Give the messages so many ordering keys, in a keyed queue.", valueName: "number"))
    var keys: Int = BenchmarkSettings().keys

    @Option(help: ArgumentHelp("Messages per second for the latency.", valueName: "number"))
    var rate: Int = BenchmarkSettings().rate

    @Option(help: ArgumentHelp("How often each workload is measured, after once that warms up.", valueName: "number"))
    var pairs: Int = BenchmarkSettings().pairs

    @Option(
        help: ArgumentHelp("How long the latency and idle consumers are watched.", valueName: "duration"),
        transform: DurationArgument.parse
    )
    var window: Duration = BenchmarkSettings().window

    @Option(
        help: ArgumentHelp("How long nothing may move before the run fails.", valueName: "duration"),
        transform: DurationArgument.parse
    )
    var patience: Duration = BenchmarkSettings().patience

    @Flag(name: .customLong("no-dedupe"), help: "Let the queue remember no ids.")
    var noDedupe = false

    @Flag(help: "Measure the client library alone in turns with the backend.")
    var baseline = false

    @Flag(name: .customLong("baseline-ids"), help: "Give each message of the baseline an id, as ours have one.")
    var baselineIDs = false

    @Option(
        name: .customLong("workload"),
        help: ArgumentHelp("Only this; can be given again.", valueName: "name")
    )
    var workloads: [Workload] = []

    @Option(help: ArgumentHelp("Measure a series instead: what grows.", valueName: "quantity"))
    var series: SeriesKind?

    @Option(help: ArgumentHelp("The largest value of the series.", valueName: "number"))
    var max: Int?

    @Option(help: ArgumentHelp("Draw the series as SVG.", valueName: "file"), completion: .file(extensions: ["svg"]))
    var plot: String?

    var settings: BenchmarkSettings {
        BenchmarkSettings(
            messages: messages,
            size: size,
            batch: batch,
            consumers: consumers,
            keys: keys,
            rate: rate,
            pairs: pairs,
            deduplicates: !noDedupe,
            window: window,
            patience: patience
        )
    }

    func validate() throws {
        do { try settings.validate() } catch { throw ValidationError(error.message) }
        if baseline, pairs < BenchmarkSettings.fewestPairs {
            throw ValidationError("--baseline needs at least \(BenchmarkSettings.fewestPairs) --pairs")
        }
        if baselineIDs, !baseline { throw ValidationError("--baseline-ids needs --baseline") }
        guard let series else {
            if max != nil { throw ValidationError("--max needs --series") }
            if plot != nil { throw ValidationError("--plot needs --series") }
            return
        }
        if baseline { throw ValidationError("a series has no baseline; leave out --baseline or --series") }
        if !workloads.isEmpty { throw ValidationError("give --workload or --series, not both") }
        if let max, !(1...series.limit).contains(max) {
            throw ValidationError("--max of \(series.rawValue) must be 1 to \(series.limit)")
        }
    }

    func run() async throws {
        let output = global.output
        let file = try plot.map(ReportFile.init)
        let place = try BenchPlace(global)
        defer { place.remove() }
        if baseline, place.opened.plain == nil {
            throw CLIError(.usage, "there is no client library to compare memory with", do: "leave out --baseline")
        }
        let report = try await Interrupt.cancelling(restoring: { output.progress(nil) }) {
            do {
                let report = try await measure(place, output)
                await place.opened.queue.close()
                output.progress(nil)
                return report
            } catch {
                await place.opened.queue.close()
                output.progress(nil)
                throw error
            }
        }
        if output.isJSON {
            try output.line(BenchTable.json(report))
        } else {
            try BenchTable(report: report).write(to: output)
        }
        if let file, let series = report.series {
            guard let plot = Plot(series, of: report) else {
                throw CLIError(
                    .failed,
                    "nothing was measured that could be drawn",
                    do: "give the series more --messages"
                )
            }
            try file.write(plot.svg)
        }
    }

    private func measure(_ place: BenchPlace, _ output: Output) async throws -> BenchmarkReport {
        let queue = place.queue
        let capabilities = try await queue.capabilities()
        try capabilities.require(.deletion)
        let plain = baseline ? place.opened.plain : nil
        var report = BenchmarkReport(
            system: capabilities.system,
            version: capabilities.version,
            durability: Format.durability(capabilities.durability),
            place: Redacted.text(place.opened.description),
            findings: capabilities.findings,
            machine: .current(),
            settings: settings,
            baseline: plain.map { $0.name + (baselineIDs ? ", with ids" : "") }
        )
        for line in BenchTable.conditions(report) { output.note(line) }
        if report.machine.isDebug { output.error(BenchTable.debugWarning) }
        let (size, batch, carriesID) = (size, batch, baselineIDs)
        let start = ContinuousClock.now
        let runner = try BenchmarkRunner(
            queue,
            settings: settings,
            baseline: plain.map { plain in
                (
                    { PlainContender(plain, .init(queue: $0, size: size, window: batch, carriesID: carriesID)) },
                    plain.needsQueue
                )
            },
            report: { output.error($0) },
            progress: { step in
                let time = start.duration(to: .now)
                output.progress(BenchProgress.line(step, time: time, columns: output.notes.columns))
            }
        )
        if let series {
            report.series = try await runner.series(series, upTo: max)
            return report
        }
        let chosen = workloads.isEmpty ? Workload.allCases : workloads
        if chosen.contains(.throughput) { report.workloads += try await runner.throughput() }
        if chosen.contains(.worker) { report.workloads += try await runner.workers() }
        if chosen.contains(.latency) { report.latency = try await runner.latency() }
        return report
    }
}

extension SeriesKind: ExpressibleByArgument {}

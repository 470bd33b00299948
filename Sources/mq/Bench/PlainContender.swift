import MessagingBaselines
import MessagingBenchmark

/// A client library alone, as the benchmark sees it.
struct PlainContender: Contender {
    let name: String
    private let runner: PlainRunner

    init(_ library: PlainLibrary, _ settings: PlainSettings) {
        name = library.name
        runner = PlainRunner(library, settings)
    }

    func publish(_ count: Int) async throws -> Duration { try await runner.publish(count) }

    func consume(_ count: Int) async throws -> Taken {
        Taken(count: count, time: try await runner.consume(count))
    }

    func close() async { await runner.close() }
}

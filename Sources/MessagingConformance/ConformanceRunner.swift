import Messaging

/// Runs cases on a backend, one after the other, and says what became of each.
///
/// A case that fails is not run again: a flaky law is a broken law. One that hangs has failed, and is left alone.
public struct ConformanceRunner: Sendable {
    /// The backend.
    public var harness: any ConformanceHarness
    /// Cases that are known to fail, by their ids, each with the reason.
    ///
    /// One of them that passes has failed.
    public var known: [String: String]
    /// How long one case may take.
    public var timeLimit: Duration

    /// Creates a runner.
    ///
    /// - Parameters:
    ///   - harness: The backend.
    ///   - known: Cases that are known to fail, by their ids, each with the reason.
    ///   - timeLimit: How long one case may take; two minutes by default.
    public init(_ harness: any ConformanceHarness, known: [String: String] = [:], timeLimit: Duration = .seconds(120)) {
        self.harness = harness
        self.known = known
        self.timeLimit = timeLimit
    }

    /// Runs cases.
    ///
    /// - Parameters:
    ///   - cases: The cases.
    ///   - starting: Called before each case; `false` ends the run with what there is.
    ///   - progress: Called with each result as it comes.
    /// - Returns: The report.
    /// - Throws: `QueueError` when the backend cannot even be asked what it can do, `CancellationError`.
    public func run(
        _ cases: [ConformanceCase],
        starting: (ConformanceCase) async -> Bool = { _ in true },
        progress: (CaseResult) async -> Void = { _ in }
    ) async throws -> ConformanceReport {
        let capabilities = try await capabilities()
        let start = ContinuousClock.now
        var results: [CaseResult] = []
        for law in cases {
            try Task.checkCancellation()
            guard await starting(law) else { break }
            let result = try await self.result(of: law, capabilities)
            results.append(result)
            await progress(result)
        }
        return ConformanceReport(capabilities, results, seconds: (ContinuousClock.now - start).inSeconds)
    }

    /// Runs one case, for a test framework that has a test for each.
    ///
    /// - Parameter law: The case.
    /// - Returns: How it ended, and why unless it passed.
    /// - Throws: `QueueError` when the backend cannot even be asked what it can do, `CancellationError`.
    public func result(of law: ConformanceCase) async throws -> CaseResult {
        try await result(of: law, try await capabilities())
    }

    private func capabilities() async throws -> Capabilities {
        let harness = harness
        let answer = try await race(against: timeLimit) {
            let probe = try await harness.makeQueue()
            let result: Result<Capabilities, any Error>
            do { result = .success(try await probe.capabilities()) } catch { result = .failure(error) }
            await probe.close()
            return try result.get()
        }
        guard let answer else {
            throw QueueError(.unavailable, "the backend did not say within \(timeLimit) what it can do")
        }
        return try answer.get()
    }

    private func result(of law: ConformanceCase, _ capabilities: Capabilities) async throws -> CaseResult {
        for feature in law.requires {
            if case .unavailable(let reason) = capabilities[feature] {
                return CaseResult(law, .unsupported, reason: "\(feature): \(reason)", seconds: 0)
            }
        }
        let start = ContinuousClock.now
        let (harness, watch) = (harness, CaseWatch())
        let ended = try await race(against: timeLimit) { try await law.run(on: harness, watch) }
        let seconds = (ContinuousClock.now - start).inSeconds
        let failure: String?
        switch ended {
        case .success?: failure = nil
        case .failure(let error as NotPossible)?:
            return CaseResult(law, .notPossible, reason: error.reason, seconds: seconds)
        case .failure(let error)?: failure = "\(error)"
        case nil:
            failure = "it did not end within \(timeLimit): \(watch.waiting)"
            watch.abandon()
        }
        switch (failure, known[law.id]) {
        case (nil, nil): return CaseResult(law, .passed, reason: nil, seconds: seconds)
        case (let failure?, nil): return CaseResult(law, .failed, reason: failure, seconds: seconds)
        case (_?, let reason?): return CaseResult(law, .knownFailure, reason: reason, seconds: seconds)
        case (nil, let reason?):
            let text = "it is marked as known to fail (\(reason)) and passes; remove the mark"
            return CaseResult(law, .failed, reason: text, seconds: seconds)
        }
    }
}

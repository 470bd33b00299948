import Messaging

/// Runs cases on a backend, one after the other, and says what became of each.
///
/// A case that fails is not run again: a flaky law is a broken law.
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
        let probe = try await harness.makeQueue()
        let capabilities: Capabilities
        do {
            capabilities = try await probe.capabilities()
        } catch {
            await probe.close()
            throw error
        }
        await probe.close()
        let start = ContinuousClock.now
        var results: [CaseResult] = []
        for law in cases {
            try Task.checkCancellation()
            guard await starting(law) else { break }
            let result = await self.result(of: law, capabilities)
            results.append(result)
            await progress(result)
        }
        return ConformanceReport(capabilities, results, seconds: (ContinuousClock.now - start).inSeconds)
    }

    private func result(of law: ConformanceCase, _ capabilities: Capabilities) async -> CaseResult {
        for feature in law.requires {
            if case .unavailable(let reason) = capabilities[feature] {
                return CaseResult(law, .unsupported, reason: "\(feature): \(reason)", seconds: 0)
            }
        }
        let start = ContinuousClock.now
        let failure: String?
        do throws(NotPossible) {
            failure = try await self.failure(of: law)
        } catch {
            return CaseResult(law, .notPossible, reason: error.reason, seconds: (ContinuousClock.now - start).inSeconds)
        }
        let seconds = (ContinuousClock.now - start).inSeconds
        switch (failure, known[law.id]) {
        case (nil, nil): return CaseResult(law, .passed, reason: nil, seconds: seconds)
        case (let failure?, nil): return CaseResult(law, .failed, reason: failure, seconds: seconds)
        case (_?, let reason?): return CaseResult(law, .knownFailure, reason: reason, seconds: seconds)
        case (nil, let reason?):
            let text = "it is marked as known to fail (\(reason)) and passes; remove the mark"
            return CaseResult(law, .failed, reason: text, seconds: seconds)
        }
    }

    /// Runs one case within the time limit.
    ///
    /// - Returns: Why it failed; `nil` when the law holds.
    /// - Throws: ``NotPossible`` when it cannot be checked here.
    private func failure(of law: ConformanceCase) async throws(NotPossible) -> String? {
        let (harness, timeLimit) = (harness, timeLimit)
        let first = await withTaskGroup(of: Result<String?, NotPossible>.self) { group in
            group.addTask {
                do {
                    try await law.run(on: harness)
                    return .success(nil)
                } catch let reason as NotPossible {
                    return .failure(reason)
                } catch {
                    return .success("\(error)")
                }
            }
            group.addTask {
                do {
                    try await Task.sleep(for: timeLimit)
                    return .success("it did not end within \(timeLimit)")
                } catch {
                    return .success("cancelled")
                }
            }
            let first = await group.next() ?? .success(nil)
            group.cancelAll()
            return first
        }
        return try first.get()
    }
}

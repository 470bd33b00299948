/// Fails the case when something takes longer than it may on the machine's clock, and cancels it then.
///
/// For what waits without the case letting time pass: the limit is far above what it takes, and ends only what hangs.
func within<Result: Sendable>(
    _ what: String,
    limit: Duration = .seconds(30),
    _ body: @escaping @Sendable () async throws -> Result
) async throws -> Result {
    try await withThrowingTaskGroup(of: Result.self) { group in
        group.addTask { try await body() }
        group.addTask {
            try await Task.sleep(for: limit)
            throw ConformanceFailure("\(what) did not end within \(limit)")
        }
        defer { group.cancelAll() }
        guard let result = try await group.next() else { throw ConformanceFailure("\(what) did not begin") }
        return result
    }
}

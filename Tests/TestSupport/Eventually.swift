/// Waits until a condition holds, looking every few milliseconds; for what a test cannot be told about.
///
/// - Parameters:
///   - limit: How long to wait at most.
///   - condition: What must come to hold.
/// - Returns: Whether it did.
/// - Throws: What the condition throws, or `CancellationError`.
public func eventually(
    within limit: Duration = .seconds(60),
    _ condition: () async throws -> Bool
) async throws -> Bool {
    let deadline = ContinuousClock.now + limit
    while try await !condition() {
        if ContinuousClock.now >= deadline { return false }
        try await Task.sleep(for: .milliseconds(2))
    }
    return true
}

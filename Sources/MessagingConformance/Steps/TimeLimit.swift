import Messaging

/// Fails the case when something takes longer than it may on the machine's clock; it is then cancelled and left alone.
///
/// For what waits without the case letting time pass: the limit is far above what it takes, and ends only what hangs.
func within<Value: Sendable>(
    _ what: String,
    limit: Duration = .seconds(30),
    _ body: @escaping @Sendable () async throws -> Value
) async throws -> Value {
    guard let result = try await race(against: limit, body) else {
        throw ConformanceFailure("\(what) did not end within \(limit)")
    }
    return try result.get()
}

/// Runs something that may hang, and goes on without it when its time is over.
///
/// A task group would wait for what it has cancelled, for ever when that does not listen. So does nothing here: what is
/// late runs on in a task of its own, cancelled, and its result is dropped.
///
/// - Returns: How it ended; `nil` when it did not end in time.
/// - Throws: `CancellationError` when the caller is cancelled, which cancels the work as well and does not wait for it.
func race<Value: Sendable>(
    against limit: Duration,
    _ body: @escaping @Sendable () async throws -> Value
) async throws -> Result<Value, any Error>? {
    let (results, sink) = AsyncStream.makeStream(
        of: Result<Value, any Error>?.self,
        bufferingPolicy: .bufferingOldest(1)
    )
    let work = Task {
        do { sink.yield(.success(try await body())) } catch { sink.yield(.failure(error)) }
    }
    let timer = Task {
        do { try await Task.sleep(for: limit) } catch { return }
        sink.yield(nil)
    }
    defer {
        work.cancel()
        timer.cancel()
    }
    // Ends without an element when this task is cancelled.
    for await result in results { return result }
    throw CancellationError()
}

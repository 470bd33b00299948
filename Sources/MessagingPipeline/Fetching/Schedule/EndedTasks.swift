import Synchronization

/// How tasks have ended, by their number, until somebody looks.
final class EndedTasks: Sendable {
    private let ended = Mutex<[UInt64: Result<Void, any Error>]>([:])

    /// Adds a task that has ended.
    func add(_ number: UInt64, _ result: Result<Void, any Error>) {
        ended.withLock { $0[number] = result }
    }

    /// Takes out the tasks that have ended since the last time.
    func takeAll() -> [UInt64: Result<Void, any Error>] {
        ended.withLock { ended in
            defer { ended = [:] }
            return ended
        }
    }
}

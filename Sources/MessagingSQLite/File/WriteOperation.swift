#if SQLite
import Messaging
import Synchronization

/// An operation that waits for a transaction.
protocol WriteOperation: AnyObject, Sendable {
    var isDurable: Bool { get }
    /// When it has waited long enough, by the system's clock.
    var deadline: Duration { get }
    /// Does its part; keeps an error of its own for the conclusion, throws one that spoils the transaction.
    func run(_ transaction: Transaction) throws
    /// Answers the caller; called once.
    func conclude(_ result: Swift.Result<Void, QueueError>)
}

/// Does nothing; makes the runner look after the file.
final class Nudge: WriteOperation {
    let isDurable = false
    let deadline = QueueClock.system.now() + .seconds(1)

    func run(_ transaction: Transaction) {}
    func conclude(_ result: Swift.Result<Void, QueueError>) {}
}

/// Does something whose outcome nobody asks for.
final class Posted: WriteOperation {
    let isDurable = false
    let deadline: Duration
    private let body: @Sendable (Transaction) throws -> Void

    init(deadline: Duration, body: @escaping @Sendable (Transaction) throws -> Void) {
        self.deadline = deadline
        self.body = body
    }

    func run(_ transaction: Transaction) throws {
        do { try body(transaction) } catch is QueueError { return }
    }

    func conclude(_ result: Swift.Result<Void, QueueError>) {}
}

/// Something that a caller waits for.
final class Operation<Value: Sendable>: WriteOperation {
    let isDurable: Bool
    let deadline: Duration
    private let body: @Sendable (Transaction) throws -> Value
    private let continuation: CheckedContinuation<Swift.Result<Value, QueueError>, Never>
    private let result = Mutex<Swift.Result<Value, QueueError>?>(nil)

    init(
        isDurable: Bool,
        deadline: Duration,
        body: @escaping @Sendable (Transaction) throws -> Value,
        continuation: CheckedContinuation<Swift.Result<Value, QueueError>, Never>
    ) {
        self.isDurable = isDurable
        self.deadline = deadline
        self.body = body
        self.continuation = continuation
    }

    func run(_ transaction: Transaction) throws {
        do {
            let value = try body(transaction)
            result.withLock { $0 = .success(value) }
        } catch let error as QueueError {
            result.withLock { $0 = .failure(error) }
        }
    }

    func conclude(_ outcome: Swift.Result<Void, QueueError>) {
        switch outcome {
        case .failure(let error): continuation.resume(returning: .failure(error))
        case .success:
            let result = result.withLock { $0 }
            continuation.resume(returning: result ?? .failure(GroupCommit.closed))
        }
    }
}
#endif

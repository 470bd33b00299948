import Synchronization

/// A value that is made when it is first needed; making it again is tried after a failure.
final class Once<Value: Sendable>: Sendable {
    private let state = Mutex<Value?>(nil)

    /// The value, if it was made.
    var current: Value? { state.withLock { $0 } }

    func value(_ make: () throws -> Value) throws -> Value {
        try state.withLock { state in
            if let value = state { return value }
            let made = try make()
            state = made
            return made
        }
    }
}

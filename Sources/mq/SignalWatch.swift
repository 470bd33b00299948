import Dispatch
import Synchronization

#if canImport(Darwin)
import Darwin
#elseif canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#endif

/// Calls a closure for each signal, on a queue of its own and one at a time, until it is cancelled.
struct SignalWatch {
    private let numbers: [Int32]
    private let sources: [any DispatchSourceSignal]

    /// Begins to watch.
    ///
    /// - Parameters:
    ///   - numbers: The signals; while they are watched they do not end the process.
    ///   - begun: Called once none of them can be missed any more.
    ///   - handler: Called with the number.
    init(
        _ numbers: [Int32],
        begun: @escaping @Sendable () -> Void = {},
        _ handler: @escaping @Sendable (Int32) -> Void
    ) {
        let queue = DispatchQueue(label: "mq.signals")
        let left = Mutex(numbers.count)
        self.numbers = numbers
        sources = numbers.map { number in
            // A dispatch source only hears of signals that would not end the process.
            signal(number, SIG_IGN)
            let source = DispatchSource.makeSignalSource(signal: number, queue: queue)
            source.setEventHandler { handler(number) }
            source.setRegistrationHandler {
                let isLast = left.withLock { left in
                    left -= 1
                    return left == 0
                }
                if isLast { begun() }
            }
            source.resume()
            return source
        }
    }

    /// Lets the signals end the process again.
    func cancel() {
        for source in sources { source.cancel() }
        for number in numbers { signal(number, SIG_DFL) }
    }
}

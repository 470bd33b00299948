import MessagingConformance
import Synchronization

/// How far a run of the suite is: one line on a terminal that is drawn over itself.
final class ConformanceProgress: Sendable {
    private static let width = 20

    private let total: Int
    private let output: Output
    private let start = ContinuousClock.now
    private let done = Mutex(0)

    init(total: Int, output: Output) {
        self.total = total
        self.output = output
    }

    /// Shows the case that begins.
    func show(_ law: ConformanceCase) {
        let line = Self.line(
            done: done.withLock { $0 },
            of: total,
            running: law.id,
            time: start.duration(to: .now),
            columns: output.notes.columns
        )
        output.progress(line)
    }

    /// Notes that a case has ended.
    func countOne() { done.withLock { $0 += 1 } }

    /// The line: a bar, how many of how many, the running case and the time so far.
    static func line(done: Int, of total: Int, running: String, time: Duration, columns: Int?) -> String {
        let full = total == 0 ? 0 : width * min(done, total) / total
        let bar = String(repeating: "█", count: full) + String(repeating: "░", count: width - full)
        let line = "\(bar) \(done + 1) of \(total)  \(running)  \(Format.age(time))"
        // A line that wraps cannot be drawn over.
        guard let columns, line.count >= columns else { return line }
        return String(line.prefix(max(0, columns - 1)))
    }
}

import MessagingBenchmark

/// How far a run is, in one line that is drawn over itself.
enum BenchProgress {
    /// The line: a bar, what is being measured and the time so far.
    static func line(_ progress: BenchmarkProgress, time: Duration, columns: Int?) -> String {
        ConformanceProgress.line(
            done: progress.done,
            of: progress.total,
            running: progress.step,
            time: time,
            columns: columns
        )
    }
}

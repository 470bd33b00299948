import Foundation

/// What reading one source has come to.
public struct SourceReport: Sendable, Hashable {
    /// The name of the source.
    public let name: String
    /// Answers that were read and published.
    public internal(set) var fetched = 0
    /// Answers that said that nothing is new.
    public internal(set) var notModified = 0
    /// Attempts that failed.
    public internal(set) var failed = 0
    /// Why the last attempt failed; nil when it did not.
    public internal(set) var lastError: String?
    /// When the source last answered well.
    public internal(set) var fetchedAt: Date?
    /// Entries and records that were statements.
    public internal(set) var read = 0
    /// Statements that were added to the queue.
    public internal(set) var collected = 0
    /// Entries and records that could not be used.
    public internal(set) var malformed = 0

    init(name: String) { self.name = name }

    mutating func add(_ report: CollectReport) {
        read += report.read
        collected += report.collected
        malformed += report.malformed
    }
}

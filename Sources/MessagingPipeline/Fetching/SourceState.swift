import Foundation

/// What is known of a source from the last time that all it had was published.
public struct SourceState: Sendable, Hashable, Codable {
    /// The `ETag` of that answer.
    public var etag: String?
    /// The `Last-Modified` of that answer, as it was written.
    public var lastModified: String?
    /// When the source was last read, or said that nothing is new.
    public var fetchedAt: Date?

    /// Creates a state.
    ///
    /// - Parameters:
    ///   - etag: The `ETag` of the last answer.
    ///   - lastModified: The `Last-Modified` of the last answer, as it was written.
    ///   - fetchedAt: When the source was last read.
    public init(etag: String? = nil, lastModified: String? = nil, fetchedAt: Date? = nil) {
        self.etag = etag
        self.lastModified = lastModified
        self.fetchedAt = fetchedAt
    }
}

/// Where it is kept what is known of sources.
///
/// What is lost here costs traffic, never a statement: a source without a state is read as a whole, and statements that
/// have been collected before add nothing.
public protocol SourceStateStore: Sendable {
    /// Looks up what is known of a source.
    ///
    /// - Parameter source: The ``RemoteSource/key``, which holds no credentials.
    /// - Returns: Its state; nil when nothing is known.
    /// - Throws: An error when the store cannot be reached.
    func state(of source: String) async throws -> SourceState?

    /// Keeps what is known of a source, in place of what was known before.
    ///
    /// - Parameters:
    ///   - state: The state.
    ///   - source: The ``RemoteSource/key``, which holds no credentials.
    /// - Throws: An error when the store cannot be reached.
    func save(_ state: SourceState, of source: String) async throws
}

/// Keeps what is known of sources as long as the process runs.
public actor MemorySourceStateStore: SourceStateStore {
    private var states: [String: SourceState] = [:]

    /// Creates a store that knows nothing.
    public init() {}

    /// Looks up what is known of a source.
    ///
    /// - Parameter source: The key of the source.
    /// - Returns: Its state; nil when nothing is known.
    public func state(of source: String) -> SourceState? { states[source] }

    /// Keeps what is known of a source.
    ///
    /// - Parameters:
    ///   - state: The state.
    ///   - source: The key of the source.
    public func save(_ state: SourceState, of source: String) { states[source] = state }
}

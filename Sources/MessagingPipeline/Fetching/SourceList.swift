import Synchronization

/// The sources that a pipeline collects from, which may change while it runs.
///
/// A running pipeline follows every change: it starts with new sources, stops with those that are gone, in the middle of
/// an answer if need be, and leaves those that are equal to what they were to their schedule. Of several sources with
/// the same ``RemoteSource/key`` the first one counts.
public final class SourceList: Sendable {
    private struct State {
        var sources: [RemoteSource]
        var last: UInt64 = 0
        var followers: [UInt64: @Sendable () -> Void] = [:]
    }

    private let state: Mutex<State>

    /// Creates a list.
    ///
    /// - Parameter sources: The sources at first.
    public init(_ sources: [RemoteSource] = []) {
        state = Mutex(State(sources: Self.distinct(sources)))
    }

    /// The sources as they are now, without repetitions.
    public var sources: [RemoteSource] { state.withLock(\.sources) }

    /// Replaces the sources.
    ///
    /// - Parameter sources: All sources from now on.
    public func replace(_ sources: [RemoteSource]) {
        let distinct = Self.distinct(sources)
        let followers = state.withLock { state in
            state.sources = distinct
            return Array(state.followers.values)
        }
        for follower in followers { follower() }
    }

    /// Has a closure called after every change, until the number it returns is given to ``stopFollowing(_:)``.
    func follow(_ changed: @escaping @Sendable () -> Void) -> UInt64 {
        state.withLock { state in
            state.last += 1
            state.followers[state.last] = changed
            return state.last
        }
    }

    func stopFollowing(_ number: UInt64) {
        state.withLock { _ = $0.followers.removeValue(forKey: number) }
    }

    private static func distinct(_ sources: [RemoteSource]) -> [RemoteSource] {
        var seen: Set<String> = []
        return sources.filter { seen.insert($0.key).inserted }
    }
}

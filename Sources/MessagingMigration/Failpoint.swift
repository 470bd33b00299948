import Synchronization

/// A place before or after a durable effect, at which tests end the process.
package struct Failpoint: Hashable, Sendable, CustomStringConvertible {
    /// What is about to happen or has just happened.
    package enum Effect: String, CaseIterable, Sendable {
        case begin, advance, declare, canary, open, remember, close
        case take, intend, reserve, restore, done, remove, removed, settle, putBack, cancel
        case forget, deleteSource
    }

    /// On which side of the effect it is.
    package enum Side: String, CaseIterable, Sendable { case before, after }

    package let effect: Effect
    package let side: Side

    package init(_ effect: Effect, _ side: Side) {
        self.effect = effect
        self.side = side
    }

    package var description: String { "\(effect.rawValue).\(side.rawValue)" }
}

/// Calls the tests at every failpoint; nobody is there outside of them.
package struct Failpoints: Sendable {
    private final class Flag: Sendable {
        let isSet = Mutex(false)
    }

    private let hit: (@Sendable (Failpoint) async throws -> Void)?
    private let flag = Flag()

    /// Nobody listens.
    package static let none = Failpoints(hit: nil)

    private init(hit: (@Sendable (Failpoint) async throws -> Void)?) { self.hit = hit }

    package init(_ hit: @escaping @Sendable (Failpoint) async throws -> Void) { self.hit = hit }

    /// Whether a test has ended the run at one of them: then nothing is tidied up, as after a crash.
    var haveEnded: Bool { flag.isSet.withLock { $0 } }

    /// Performs a durable effect between its two failpoints.
    func around<Result: Sendable>(_ effect: Failpoint.Effect, _ body: () async throws -> Result) async throws -> Result
    {
        guard hit != nil else { return try await body() }
        try await reach(Failpoint(effect, .before))
        let result = try await body()
        try await reach(Failpoint(effect, .after))
        return result
    }

    private func reach(_ point: Failpoint) async throws {
        do {
            try await hit?(point)
        } catch {
            flag.isSet.withLock { $0 = true }
            throw error
        }
    }
}

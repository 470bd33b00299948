import Messaging
import Synchronization

/// Sees which calls of a running case have not ended, for a report about one that hangs.
final class CaseWatch: Sendable {
    private let clients = Mutex<HarnessClients?>(nil)

    /// Watches another run of the case.
    func watch(_ clients: HarnessClients) { self.clients.withLock { $0 = clients } }

    /// What the case waits for, as the end of a sentence.
    var waiting: String {
        let calls = clients.withLock { $0 }?.history.openCalls ?? []
        if calls.isEmpty { return "no call to the backend is open" }
        let shown = calls.prefix(5).joined(separator: ", ")
        return "waiting for \(shown)\(calls.count > 5 ? " and \(calls.count - 5) more calls" : "")"
    }

    /// Closes what a case has opened that is left alone, without waiting: a client that hangs may not close either.
    func abandon() {
        guard let clients = clients.withLock({ $0 }) else { return }
        Task { await clients.close() }
    }
}

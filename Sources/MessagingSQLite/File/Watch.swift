#if SQLite
import Dispatch
import GRDB
import Messaging
import Synchronization

/// Looks now and then whether anybody has written who did not tell: another program, or a process that was killed.
///
/// It costs a number that SQLite keeps in shared memory, and nothing while no consumer waits.
final class Watch: Sendable {
    private let timer: Mutex<any DispatchSourceTimer>

    /// Begins to look.
    ///
    /// - Parameters:
    ///   - interval: How often.
    ///   - pool: The open file.
    ///   - wakeups: Who is woken when something was written.
    ///   - peers: The other clients, of which those that are gone are forgotten.
    init(every interval: Duration, pool: DatabasePool, wakeups: Wakeups, peers: Peers) {
        let last = LastVersion()
        let timer = DispatchSource.makeTimerSource(queue: DispatchQueue(label: "mq.sqlite.watch"))
        let milliseconds = DispatchTimeInterval.milliseconds(max(10, Int(clamping: interval.milliseconds)))
        timer.schedule(deadline: .now() + milliseconds, repeating: milliseconds, leeway: .milliseconds(100))
        timer.setEventHandler {
            guard wakeups.count > 0 else { return }
            peers.checkAgain()
            // Where a writer waits for its turn, one question is enough.
            guard last.mayAsk() else { return }
            pool.asyncWriteWithoutTransaction { database in
                defer { last.wasAnswered() }
                guard let version = try? Int64.fetchOne(database, sql: "PRAGMA data_version"), last.isNew(version)
                else { return }
                wakeups.wakeAll()
            }
        }
        timer.resume()
        self.timer = Mutex(timer)
    }

    /// Looks no more.
    func end() { timer.withLock { $0.cancel() } }

    deinit { end() }
}

/// The version of the file's content that was seen last, as the writing connection sees it: its own commits do not
/// change it.
private final class LastVersion: Sendable {
    private let isAsked = Mutex(false)
    private let version = Mutex<Int64>(-1)

    func mayAsk() -> Bool {
        isAsked.withLock { isAsked in
            defer { isAsked = true }
            return !isAsked
        }
    }

    func wasAnswered() { isAsked.withLock { $0 = false } }

    func isNew(_ seen: Int64) -> Bool {
        version.withLock { version in
            defer { version = seen }
            return version != seen
        }
    }
}
#endif

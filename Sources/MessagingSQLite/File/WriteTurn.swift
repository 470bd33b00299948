#if SQLite
import Messaging
import Synchronization

#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#elseif canImport(Darwin)
import Darwin
#endif

/// The turn to write, taken between the processes that share a file.
///
/// SQLite's own lock makes those who wait poll, and lets a busy writer take it again before anybody else wakes. Here
/// they wait in the kernel for two advisory locks: whoever wants to write takes the turnstile first and keeps it until
/// the lock is theirs. A writer that comes back at once finds the turnstile taken by who waited before it. The kernel
/// gives both back when a process dies.
final class WriteTurn: Sendable {
    private let lock: Int32
    private let turnstile: Int32
    private let isClosed = Mutex(false)

    /// Opens the lock files in a folder.
    ///
    /// - Throws: `FileFailure` when they cannot be created.
    init(folder: String) throws(FileFailure) {
        let lock = try Self.open(folder + "/lock")
        do throws(FileFailure) {
            turnstile = try Self.open(folder + "/turnstile")
        } catch {
            _ = close(lock)
            throw error
        }
        self.lock = lock
    }

    /// Waits for the turn.
    ///
    /// - Parameter onWait: Called when others are before this process.
    /// - Throws: `FileFailure` when the operating system refuses.
    func take(onWait: () -> Void = {}) throws(FileFailure) {
        var isLate = false
        func wait() {
            if !isLate { onWait() }
            isLate = true
        }
        try Self.hold(turnstile, wait)
        do throws(FileFailure) {
            try Self.hold(lock, wait)
        } catch {
            _ = flock(turnstile, LOCK_UN)
            throw error
        }
        _ = flock(turnstile, LOCK_UN)
    }

    /// Gives the turn back.
    func giveBack() { _ = flock(lock, LOCK_UN) }

    /// Closes the lock files; nobody may hold or take the turn then.
    func shut() {
        let isFirst = isClosed.withLock { isClosed in
            defer { isClosed = true }
            return !isClosed
        }
        guard isFirst else { return }
        _ = close(lock)
        _ = close(turnstile)
    }

    deinit { shut() }

    private static func open(_ path: String) throws(FileFailure) -> Int32 {
        let descriptor = path.withCString { createShared($0) }
        guard descriptor >= 0 else { throw FileFailure("open", path, errno) }
        return descriptor
    }

    private static func hold(_ descriptor: Int32, _ onWait: () -> Void) throws(FileFailure) {
        if flock(descriptor, LOCK_EX | LOCK_NB) == 0 { return }
        onWait()
        while flock(descriptor, LOCK_EX) != 0 {
            guard errno == EINTR else { throw FileFailure("lock", "the write turn", errno) }
        }
    }
}

/// Opens a file for reading and writing, and creates it with the rights of the process.
private func createShared(_ path: UnsafePointer<CChar>) -> Int32 {
    open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0o666)
}

/// A call of the operating system that failed.
struct FileFailure: Error {
    let call: String
    let path: String
    let code: Int32

    init(_ call: String, _ path: String, _ code: Int32) {
        self.call = call
        self.path = path
        self.code = code
    }

    var reason: String { String(cString: strerror(code)) }
    var isPermission: Bool { code == EACCES || code == EPERM || code == EROFS }
    var isMissing: Bool { code == ENOENT || code == ENOTDIR }
}
#endif

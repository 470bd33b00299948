#if SQLite
import Dispatch
import Messaging
import Synchronization

#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#elseif canImport(Darwin)
import Darwin
#endif

/// The other clients of a file: what wakes them when something became available, and what wakes this one.
///
/// Each client has a pipe with a name of its own in the folder beside the file and reads from it. Whoever has committed
/// writes one byte to the pipes of all others. A pipe that nobody reads belongs to a process that is gone; it is
/// removed by who finds it. A byte that is lost costs nothing but time: each client looks by itself now and then.
final class Peers: Sendable {
    private struct Known {
        /// When the folder was changed last, as of the last look; negative means look again.
        var stamp: Int64 = -1
        var pipes: [String: Int32] = [:]
        var hasLeft = false
    }

    private let folder: String
    private let name: String
    private let source: Mutex<any DispatchSourceRead>
    private let known = Mutex(Known())

    /// Creates this client's pipe.
    ///
    /// - Parameters:
    ///   - folder: The folder beside the file.
    ///   - onSignal: Called with the bytes that others wrote, each the low byte of a queue's number.
    /// - Throws: `FileFailure` when the pipe cannot be created.
    init(folder: String, onSignal: @escaping @Sendable (Set<UInt8>) -> Void) throws(FileFailure) {
        self.folder = folder
        name = "\(Self.prefix)\(getpid()).\(UInt32.random(in: 0 ... .max))"
        let path = folder + "/" + name
        guard mkfifo(path, 0o666) == 0 else { throw FileFailure("mkfifo", path, errno) }
        // Open for writing too: a pipe whose last writer has left would be at its end for ever.
        let descriptor = openPipe(path, O_RDWR | O_NONBLOCK | O_CLOEXEC)
        guard descriptor >= 0 else {
            let code = errno
            unlink(path)
            throw FileFailure("open", path, code)
        }
        let source = DispatchSource.makeReadSource(
            fileDescriptor: descriptor,
            queue: DispatchQueue(label: "mq.sqlite.peers")
        )
        source.setEventHandler {
            let bytes = Self.drain(descriptor)
            if !bytes.isEmpty { onSignal(bytes) }
        }
        source.setCancelHandler { _ = close(descriptor) }
        source.resume()
        self.source = Mutex(source)
    }

    /// Tells all others that something became available in some queues.
    ///
    /// - Parameter queues: The low bytes of the queues' numbers.
    func signal(_ queues: Set<UInt8>) {
        let bytes = Array(queues)
        known.withLock { known in
            if known.hasLeft { return }
            refresh(&known)
            for pipe in known.pipes.values {
                // A full pipe has woken its reader already.
                _ = bytes.withUnsafeBytes { write(pipe, $0.baseAddress, $0.count) }
            }
        }
    }

    /// Forgets pipes whose readers are gone, at the next signal.
    func checkAgain() { known.withLock { $0.stamp = -1 } }

    /// Leaves: removes this client's pipe and closes all.
    func leave() {
        known.withLock { known in
            if known.hasLeft { return }
            source.withLock { $0.cancel() }
            unlink(folder + "/" + name)
            for pipe in known.pipes.values { _ = close(pipe) }
            known = Known(hasLeft: true)
        }
    }

    /// Looks into the folder when it has changed.
    private func refresh(_ known: inout Known) {
        var status = stat()
        guard stat(folder, &status) == 0 else { return }
        let stamp = modified(status)
        guard stamp != known.stamp else { return }
        var left = known.pipes
        var present: [String: Int32] = [:]
        for name in names() where name != self.name {
            guard let process = Self.process(name) else { continue }
            if let pipe = left.removeValue(forKey: name) {
                if isAlive(process) {
                    present[name] = pipe
                    continue
                }
                // With this one open the pipe would always have a reader.
                _ = close(pipe)
            }
            present[name] = connect(name, process)
        }
        for pipe in left.values { _ = close(pipe) }
        known.pipes = present
        // File systems tell time in ticks: what changes in the tick of this look would not be seen later.
        var now = timespec()
        clock_gettime(CLOCK_REALTIME, &now)
        let age = Int64(now.tv_sec) * 1_000_000_000 + Int64(now.tv_nsec) - stamp
        known.stamp = age > 100_000_000 ? stamp : -1
    }

    /// Opens the pipe of another client for writing; `nil` when the client is gone, and then the pipe is removed.
    private func connect(_ name: String, _ process: pid_t) -> Int32? {
        let path = folder + "/" + name
        if !isAlive(process) {
            let probe = openPipe(path, O_WRONLY | O_NONBLOCK | O_CLOEXEC)
            if probe < 0 {
                if errno == ENXIO { unlink(path) }
                return nil
            }
            _ = close(probe)
        }
        // For reading too, so that a write to a pipe whose reader dies just now raises no signal in this process.
        let pipe = openPipe(path, O_RDWR | O_NONBLOCK | O_CLOEXEC)
        return pipe >= 0 ? pipe : nil
    }

    /// Whether a process of this number exists here.
    ///
    /// In another container the number means something else: a pipe is removed only when nobody reads it either.
    private func isAlive(_ process: pid_t) -> Bool { kill(process, 0) == 0 || errno == EPERM }

    private func names() -> [String] {
        guard let stream = opendir(folder) else { return [] }
        defer { closedir(stream) }
        var names: [String] = []
        while let entry = readdir(stream) {
            let name = withUnsafePointer(to: &entry.pointee.d_name) { pointer in
                pointer.withMemoryRebound(to: CChar.self, capacity: MemoryLayout.size(ofValue: pointer.pointee)) {
                    String(cString: $0)
                }
            }
            if name.hasPrefix(Self.prefix) { names.append(name) }
        }
        return names
    }

    private static let prefix = "client."

    private static func process(_ name: String) -> pid_t? {
        name.dropFirst(prefix.count).split(separator: ".").first.flatMap { pid_t($0) }
    }

    private static func drain(_ descriptor: Int32) -> Set<UInt8> {
        var seen: Set<UInt8> = []
        var buffer = [UInt8](repeating: 0, count: 512)
        // A pipe holds 64 kB; who writes faster than that is read the next time.
        for _ in 0..<128 {
            let count = buffer.withUnsafeMutableBytes { read(descriptor, $0.baseAddress, $0.count) }
            guard count > 0 else { break }
            seen.formUnion(buffer[..<count])
        }
        return seen
    }
}

private func openPipe(_ path: String, _ flags: Int32) -> Int32 { open(path, flags) }

/// When a folder was changed last, in nanoseconds.
private func modified(_ status: stat) -> Int64 {
    #if canImport(Darwin)
    Int64(status.st_mtimespec.tv_sec) * 1_000_000_000 + Int64(status.st_mtimespec.tv_nsec)
    #else
    Int64(status.st_mtim.tv_sec) * 1_000_000_000 + Int64(status.st_mtim.tv_nsec)
    #endif
}
#endif

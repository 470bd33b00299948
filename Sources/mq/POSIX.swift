#if canImport(Darwin)
import Darwin
#elseif canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#endif

/// Who reads stdout has gone; there is nobody left to tell.
struct ClosedOutput: Error {}

/// The few calls of the operating system that `mq` needs.
enum POSIX {
    static let standardInput: Int32 = 0
    static let standardOutput: Int32 = 1
    static let standardError: Int32 = 2

    /// Makes a write to a closed pipe an error instead of the end of the process.
    static func ignoreBrokenPipes() { _ = signal(SIGPIPE, SIG_IGN) }

    static func isTerminal(_ descriptor: Int32) -> Bool { isatty(descriptor) == 1 }

    /// The width of a terminal in columns.
    static func columns(_ descriptor: Int32) -> Int? {
        var size = winsize()
        guard ioctl(descriptor, UInt(TIOCGWINSZ), &size) == 0, size.ws_col > 0 else { return nil }
        return Int(size.ws_col)
    }

    /// The height of a terminal in rows.
    static func rows(_ descriptor: Int32) -> Int? {
        var size = winsize()
        guard ioctl(descriptor, UInt(TIOCGWINSZ), &size) == 0, size.ws_row > 0 else { return nil }
        return Int(size.ws_row)
    }

    /// Writes all bytes.
    static func write(_ bytes: [UInt8], to descriptor: Int32) throws {
        try bytes.withUnsafeBytes { buffer in
            var rest = buffer[...]
            while !rest.isEmpty {
                #if canImport(Darwin)
                let count = Darwin.write(descriptor, UnsafeRawBufferPointer(rebasing: rest).baseAddress, rest.count)
                #elseif canImport(Glibc)
                let count = Glibc.write(descriptor, UnsafeRawBufferPointer(rebasing: rest).baseAddress, rest.count)
                #else
                let count = Musl.write(descriptor, UnsafeRawBufferPointer(rebasing: rest).baseAddress, rest.count)
                #endif
                if count >= 0 {
                    rest = rest.dropFirst(count)
                    continue
                }
                switch errno {
                case EINTR: continue
                case EAGAIN:
                    var ready = pollfd(fd: descriptor, events: Int16(POLLOUT), revents: 0)
                    _ = poll(&ready, 1, -1)
                case EPIPE: throw ClosedOutput()
                default:
                    throw CLIError(
                        .failed,
                        "cannot write the output: \(reason(errno))",
                        do: "check the disk and the pipe"
                    )
                }
            }
        }
    }

    /// Reads what is there, waiting until there is something; empty at the end, `nil` when woken up.
    static func read(_ descriptor: Int32, max: Int, wakeUp: Int32) throws -> [UInt8]? {
        while true {
            var ready = [
                pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0),
                pollfd(fd: wakeUp, events: Int16(POLLIN), revents: 0),
            ]
            let count = poll(&ready, 2, -1)
            if count < 0, errno != EINTR { throw readError(errno) }
            if count <= 0 { continue }
            if ready[1].revents != 0 { return nil }
            var problem: Int32 = 0
            let bytes = [UInt8](unsafeUninitializedCapacity: max) { buffer, initialized in
                #if canImport(Darwin)
                let count = Darwin.read(descriptor, buffer.baseAddress, buffer.count)
                #elseif canImport(Glibc)
                let count = Glibc.read(descriptor, buffer.baseAddress, buffer.count)
                #else
                let count = Musl.read(descriptor, buffer.baseAddress, buffer.count)
                #endif
                if count < 0 { problem = errno }
                initialized = Swift.max(0, count)
            }
            if problem == 0 { return bytes }
            if problem != EINTR, problem != EAGAIN { throw readError(problem) }
        }
    }

    /// Waits until nobody can read what is written to a pipe, socket or terminal; for ever with a file.
    ///
    /// - Returns: Whether that came to pass; not when woken up.
    static func waitUntilClosed(_ descriptor: Int32, wakeUp: Int32) -> Bool {
        while true {
            var ready = [
                pollfd(fd: descriptor, events: 0, revents: 0), pollfd(fd: wakeUp, events: Int16(POLLIN), revents: 0),
            ]
            let count = poll(&ready, 2, -1)
            if count < 0, errno != EINTR { return false }
            if count <= 0 { continue }
            return ready[1].revents == 0
        }
    }

    /// A pipe whose end can wake `read` up.
    static func makePipe() throws -> (read: Int32, write: Int32) {
        var ends: [Int32] = [0, 0]
        guard pipe(&ends) == 0 else { throw CLIError(.failed, "cannot make a pipe: \(reason(errno))") }
        return (ends[0], ends[1])
    }

    static func closeDescriptor(_ descriptor: Int32) { _ = close(descriptor) }

    /// Ends the process at once, as the signal would have.
    static func die(by signal: Int32) -> Never { _exit(128 + signal) }

    /// Ends the process with an exit code.
    static func finish(_ code: Int32) -> Never { exit(code) }

    static func reason(_ number: Int32) -> String { String(cString: strerror(number)) }

    private static func readError(_ number: Int32) -> CLIError {
        CLIError(.failed, "cannot read stdin: \(reason(number))", do: "give the input another way")
    }
}

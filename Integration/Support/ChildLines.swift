import Foundation
import Synchronization

/// The lines that a child process prints, as they come.
///
/// They go through a pipe that a thread of its own reads, so that nobody has to look again and again whether a file has
/// grown. It ends with the child, and so do the lines.
package final class ChildLines: Sendable {
    /// How many lines are kept for a reader that is slow; what comes then is left out.
    private static let limit = 100_000

    /// The lines without their ends.
    package let lines: AsyncStream<String>
    /// The end that the child writes to.
    package let handle: Int32
    private let isOpen = Mutex(true)

    /// Creates the pipe.
    ///
    /// - Throws: `ChildProcess.StartFailure`.
    package init() throws {
        var ends: [Int32] = [0, 0]
        guard pipe(&ends) == 0 else {
            throw ChildProcess.StartFailure(description: "no pipe can be had: \(String(cString: strerror(errno)))")
        }
        // Another child that had the writing end as well would keep the lines from ending.
        for end in ends { _ = fcntl(end, F_SETFD, FD_CLOEXEC) }
        let (lines, end) = AsyncStream.makeStream(of: String.self, bufferingPolicy: .bufferingOldest(Self.limit))
        self.lines = lines
        handle = ends[1]
        let reading = ends[0]
        Thread.detachNewThread {
            Self.read(reading) { end.yield($0) }
            close(reading)
            end.finish()
        }
    }

    /// Closes this process's copy of the end that the child writes to, once the child has it.
    package func started() {
        let wasOpen = isOpen.withLock { isOpen in
            defer { isOpen = false }
            return isOpen
        }
        if wasOpen { close(handle) }
    }

    deinit { started() }

    /// Cuts what comes into lines until nobody writes any more.
    private static func read(_ handle: Int32, _ line: (String) -> Void) {
        var rest: [UInt8] = []
        var chunk = [UInt8](repeating: 0, count: 65536)
        while true {
            let count = Foundation.read(handle, &chunk, chunk.count)
            if count < 0, errno == EINTR { continue }
            guard count > 0 else { return }
            rest += chunk[..<count]
            while let end = rest.firstIndex(of: UInt8(ascii: "\n")) {
                line(String(decoding: rest[..<end], as: UTF8.self))
                rest.removeSubrange(...end)
            }
        }
    }
}

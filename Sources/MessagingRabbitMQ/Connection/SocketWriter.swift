#if RabbitMQ
import Messaging

#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#else
import Darwin
#endif

/// Writes to a socket that does not block, with a deadline.
enum SocketWriter {
    /// Why it could not be written.
    struct Problem: Equatable {
        var text: String
        /// Whether the other side did not read for too long.
        var isTimeout: Bool
    }

    /// Writes all bytes.
    ///
    /// - Returns: What went wrong; `nil` when all was written.
    static func write(_ bytes: UnsafeRawBufferPointer, to socket: Int32, within limit: Duration) -> Problem? {
        #if canImport(Darwin)
        // librabbitmq has told the socket that a peer which is gone is no reason for a signal.
        let flags: Int32 = 0
        #else
        let flags = Int32(MSG_NOSIGNAL)
        #endif
        var rest = bytes
        var deadline: Duration?
        while !rest.isEmpty {
            let count = send(socket, rest.baseAddress, rest.count, flags)
            if count > 0 {
                rest = UnsafeRawBufferPointer(rebasing: rest[count...])
                continue
            }
            switch errno {
            case EINTR: continue
            case EAGAIN, EWOULDBLOCK:
                // It counts from the first time that the other side did not read at once.
                let now = QueueClock.system.now()
                let end = deadline ?? now + limit
                deadline = end
                guard now < end else { return Problem(text: "it took no bytes in \(limit)", isTimeout: true) }
                var polled = pollfd(fd: socket, events: Int16(POLLOUT), revents: 0)
                _ = poll(&polled, 1, Int32(clamping: max(1, (end - now).milliseconds)))
            default: return Problem(text: String(cString: strerror(errno)), isTimeout: false)
            }
        }
        return nil
    }
}
#endif

import Foundation
import Synchronization

/// A child process that can be signalled, killed and waited for by its id alone.
package final class ChildProcess: Sendable {
    /// The program could not be started.
    package struct StartFailure: Error, CustomStringConvertible {
        package let description: String
    }

    package let processID: pid_t
    /// How it ended, once it has: the exit status, or minus the signal that ended it.
    private let ending = Mutex<Int32?>(nil)

    /// Starts a program.
    ///
    /// - Parameters:
    ///   - executable: Its path.
    ///   - arguments: Its arguments, without its name.
    ///   - environment: Its whole environment.
    ///   - input: The file it reads from.
    ///   - output: The file that stdout goes to.
    ///   - outputHandle: An open file that stdout goes to instead.
    ///   - errors: The file that stderr goes to.
    /// - Throws: `StartFailure`.
    package init(
        _ executable: String,
        _ arguments: [String],
        environment: [String: String] = ProcessInfo.processInfo.environment,
        input: String = "/dev/null",
        output: String = "/dev/null",
        outputHandle: Int32? = nil,
        errors: String = "/dev/null"
    ) throws {
        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        defer { posix_spawn_file_actions_destroy(&actions) }
        posix_spawn_file_actions_addopen(&actions, 0, input, O_RDONLY, 0)
        if let outputHandle {
            posix_spawn_file_actions_adddup2(&actions, outputHandle, 1)
        } else {
            posix_spawn_file_actions_addopen(&actions, 1, output, O_WRONLY | O_CREAT | O_TRUNC, 0o600)
        }
        posix_spawn_file_actions_addopen(&actions, 2, errors, O_WRONLY | O_CREAT | O_TRUNC, 0o600)
        // Threads of a dispatch queue block signals, and a child inherits that: it would never hear SIGTERM.
        var attributes = posix_spawnattr_t()
        posix_spawnattr_init(&attributes)
        defer { posix_spawnattr_destroy(&attributes) }
        var none = sigset_t()
        sigemptyset(&none)
        var all = sigset_t()
        sigfillset(&all)
        posix_spawnattr_setsigmask(&attributes, &none)
        posix_spawnattr_setsigdefault(&attributes, &all)
        posix_spawnattr_setflags(&attributes, Int16(POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF))
        let words = ([executable] + arguments).map { strdup($0) }
        let variables = environment.map { strdup("\($0)=\($1)") }
        defer { for pointer in words + variables { free(pointer) } }
        var id: pid_t = 0
        let code = posix_spawn(&id, executable, &actions, &attributes, words + [nil], variables + [nil])
        guard code == 0 else {
            throw StartFailure(description: "\(executable) cannot be started: \(String(cString: strerror(code)))")
        }
        processID = id
    }

    /// How it ended: the exit status, or minus the signal; `nil` while it runs.
    package var status: Int32? {
        ending.withLock { ending in
            if let ending { return ending }
            var raw: Int32 = 0
            guard waitpid(processID, &raw, WNOHANG) == processID else { return nil }
            ending = raw & 0x7F == 0 ? raw >> 8 & 0xFF : -(raw & 0x7F)
            return ending
        }
    }

    package var isRunning: Bool { status == nil }

    package func signal(_ number: Int32) { if isRunning { kill(processID, number) } }

    /// Waits for the end for at most some seconds, then kills it; for use outside of tasks.
    package func end(within seconds: Double) {
        let deadline = Date(timeIntervalSinceNow: seconds)
        while isRunning, Date() < deadline { usleep(2000) }
        while isRunning {
            kill(processID, SIGKILL)
            usleep(2000)
        }
    }

    /// Kills it as a crash would, and waits until it is gone.
    package func crash() {
        signal(SIGKILL)
        end(within: 10)
    }

    deinit { if isRunning { crash() } }
}

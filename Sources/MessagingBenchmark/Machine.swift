#if canImport(FoundationEssentials)
import FoundationEssentials
#else
import Foundation
#endif

/// The machine and the build that figures come from.
public struct Machine: Sendable, Codable, Hashable {
    /// How many cores the process may use.
    public var cores: Int
    /// The memory, in bytes.
    public var memoryBytes: Int
    /// The operating system.
    public var system: String
    /// `release` or `debug`; figures of a debug build say nothing about the library.
    public var build: String
    /// How many processes were ready to run when the run began, on average over a minute.
    public var load: Double?

    private enum CodingKeys: String, CodingKey {
        case cores
        case memoryBytes = "memory_bytes"
        case system = "os"
        case build, load
    }

    /// Whether this is a debug build.
    public var isDebug: Bool { build == "debug" }

    /// Looks at the machine.
    ///
    /// - Returns: The machine that this runs on, as it is now.
    public static func current() -> Machine {
        #if DEBUG
        let build = "debug"
        #else
        let build = "release"
        #endif
        let process = ProcessInfo.processInfo
        return Machine(
            cores: process.activeProcessorCount,
            memoryBytes: Int(clamping: process.physicalMemory),
            system: process.operatingSystemVersionString,
            build: build,
            load: ProcessUsage.load()
        )
    }
}

#if canImport(Darwin)
import Darwin
#elseif canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#endif

#if canImport(FoundationEssentials)
import FoundationEssentials
#else
import Foundation
#endif

/// What this process uses.
enum ProcessUsage {
    /// The processor time of all threads so far, in seconds.
    static func processorTime() -> Double {
        var time = timespec()
        guard clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time) == 0 else { return 0 }
        return Double(time.tv_sec) + Double(time.tv_nsec) / 1e9
    }

    /// The memory that is resident, in bytes; `nil` where that cannot be told.
    static func residentBytes() -> Int? {
        #if os(Linux)
        guard let text = try? String(contentsOfFile: "/proc/self/statm", encoding: .utf8) else { return nil }
        return resident(statm: text, page: Int(sysconf(Int32(_SC_PAGESIZE))))
        #else
        return nil
        #endif
    }

    /// Reads the second number of `/proc/self/statm`: resident pages.
    static func resident(statm text: String, page: Int) -> Int? {
        text.split(separator: " ").dropFirst().first.flatMap { Int($0) }.map { $0 * page }
    }

    /// How many processes have been ready to run, on average over the last minute; `nil` where that cannot be told.
    static func load() -> Double? {
        var averages = [0.0]
        return getloadavg(&averages, 1) == 1 ? averages[0] : nil
    }
}

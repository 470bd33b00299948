#if SQLite
import Foundation
import Messaging

/// Where the file is and how it is used.
public struct SQLiteConfiguration: Sendable, Hashable {
    /// When a confirmed message is on the disk, in SQLite's words; see https://www.sqlite.org/pragma.html#pragma_synchronous.
    public enum Synchronous: String, Sendable, Hashable, CaseIterable {
        /// Before the confirmation: a crash of the machine loses nothing that was confirmed.
        case full
        /// At the next checkpoint: the end of a process loses nothing, a crash of the machine can lose what was confirmed
        /// since the last checkpoint.
        case normal
    }

    /// The path of the file.
    public var path: String
    /// Whether a file that is not there is created, with its tables; its folder never is.
    public var createsFile: Bool
    /// When a confirmed message is on the disk.
    public var synchronous: Synchronous
    /// How long a call waits for its turn to write before it throws `unavailable`.
    public var timeout: Duration
    /// The largest body that `publish` takes, in bytes.
    public var maxBodyBytes: Int
    /// The largest size of the file in bytes, without its write-ahead log; `nil` means as large as the disk.
    public var maxFileBytes: Int64?
    /// How often a process with waiting consumers looks for what programs other than this library have published, and
    /// for what a process published that was killed before it could tell.
    public var heartbeat: Duration
    /// Statements that are broken on purpose, for the tests that prove what finds that.
    package var statementChanges: [SQLStatementChange] = []

    /// Creates a configuration.
    ///
    /// - Parameters:
    ///   - path: The path of the file.
    ///   - createsFile: Whether a file that is not there is created; otherwise the first call throws `notFound`.
    ///   - synchronous: When a confirmed message is on the disk; before the confirmation by default.
    ///   - timeout: How long a call waits for its turn to write; 10 s by default.
    ///   - maxBodyBytes: The largest body, in bytes; 64 MiB by default, SQLite's own limit is 1 GB.
    ///   - maxFileBytes: The largest size of the file, in bytes; as large as the disk by default.
    ///   - heartbeat: How often to look for what nobody told of; 1 s by default.
    public init(
        path: String,
        createsFile: Bool = true,
        synchronous: Synchronous = .full,
        timeout: Duration = .seconds(10),
        maxBodyBytes: Int = 64 << 20,
        maxFileBytes: Int64? = nil,
        heartbeat: Duration = .seconds(1)
    ) {
        self.path = path
        self.createsFile = createsFile
        self.synchronous = synchronous
        self.timeout = timeout
        self.maxBodyBytes = maxBodyBytes
        self.maxFileBytes = maxFileBytes
        self.heartbeat = heartbeat
    }

    /// Reads a URL: `sqlite:///absolute/path`, `sqlite://relative/path` or `sqlite:relative/path`.
    ///
    /// Options behind `?`: `synchronous=full|normal`, `timeout=SECONDS`, `max_body=BYTES`, `max_file=BYTES`.
    ///
    /// - Parameter url: The URL; `%` escapes in the path are decoded.
    /// - Throws: `QueueError` with the code `invalidArgument` that says what is wrong.
    public init(url: String) throws(QueueError) {
        guard let colon = url.firstIndex(of: ":"), url[..<colon].lowercased() == "sqlite" else {
            throw Self.invalid("it does not begin with sqlite:")
        }
        var rest = url[url.index(after: colon)...]
        if rest.hasPrefix("//") { rest = rest.dropFirst(2) }
        let parts = rest.split(separator: "?", maxSplits: 1, omittingEmptySubsequences: false)
        guard let path = String(parts[0]).removingPercentEscapes else {
            throw Self.invalid("the path has a '%' that is not followed by two hexadecimal digits; write %25 for it")
        }
        guard !path.isEmpty else { throw Self.invalid("it names no file: sqlite:///var/lib/app/mq.sqlite") }
        guard path != ":memory:" else {
            throw Self.invalid("a queue in SQLite's memory cannot be shared; use the memory backend")
        }
        guard !path.utf8.contains(0) else { throw Self.invalid("the path has a zero byte") }
        self.init(path: path)
        guard parts.count > 1 else { return }
        for option in parts[1].split(separator: "&") {
            let pair = option.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
            try apply(String(pair[0]), pair.count > 1 ? String(pair[1]) : "")
        }
    }

    private mutating func apply(_ name: String, _ value: String) throws(QueueError) {
        switch name {
        case "synchronous":
            guard let grade = Synchronous(rawValue: value) else {
                throw Self.invalid("synchronous is full or normal")
            }
            synchronous = grade
        case "timeout":
            guard let seconds = Double(value), seconds > 0, seconds <= 3600 else {
                throw Self.invalid("timeout is a number of seconds, above 0 and up to 3600")
            }
            timeout = .milliseconds(Int64(seconds * 1000))
        case "max_body":
            guard let bytes = Int(value), 1...1_000_000_000 ~= bytes else {
                throw Self.invalid("max_body is a number of bytes from 1 to 1000000000")
            }
            maxBodyBytes = bytes
        case "max_file":
            guard let bytes = Int64(value), bytes >= 1 << 20 else {
                throw Self.invalid("max_file is a number of bytes, at least 1048576")
            }
            maxFileBytes = bytes
        default:
            throw Self.invalid("it has an unknown option; known are synchronous, timeout, max_body and max_file")
        }
    }

    /// The same with an absolute path, so that a later change of the current folder changes nothing, and within what
    /// SQLite and the timers can take.
    var settled: SQLiteConfiguration {
        var settled = self
        if !path.hasPrefix("/") { settled.path = FileManager.default.currentDirectoryPath + "/" + path }
        settled.timeout = min(max(timeout, .zero), .seconds(86400))
        settled.heartbeat = min(max(heartbeat, .milliseconds(10)), .seconds(86400))
        settled.maxBodyBytes = min(maxBodyBytes, Self.largestBody)
        return settled
    }

    /// A row of SQLite has at most 1,000,000,000 bytes, and other things than the body are in it.
    private static let largestBody = 999_000_000

    private static func invalid(_ problem: String) -> QueueError {
        QueueError(.invalidArgument, "the SQLite URL cannot be used: \(problem)")
    }
}

extension String {
    fileprivate var removingPercentEscapes: String? {
        var bytes: [UInt8] = []
        var rest = utf8[...]
        while let byte = rest.popFirst() {
            guard byte == UInt8(ascii: "%") else {
                bytes.append(byte)
                continue
            }
            let digits = rest.prefix(2)
            guard digits.count == 2, let high = digits.first?.hexDigit, let low = digits.last?.hexDigit else {
                return nil
            }
            bytes.append(high << 4 | low)
            rest = rest.dropFirst(2)
        }
        return String(validating: bytes, as: UTF8.self)
    }
}

extension UInt8 {
    fileprivate var hexDigit: UInt8? {
        switch self {
        case UInt8(ascii: "0")...UInt8(ascii: "9"): self - UInt8(ascii: "0")
        case UInt8(ascii: "a")...UInt8(ascii: "f"): self - UInt8(ascii: "a") + 10
        case UInt8(ascii: "A")...UInt8(ascii: "F"): self - UInt8(ascii: "A") + 10
        default: nil
        }
    }
}
#endif

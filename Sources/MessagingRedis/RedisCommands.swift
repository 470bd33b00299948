#if Redis
import Messaging

/// Commands and scripts of an application, on a connection of its own beside that of a queue's client.
public struct RedisCommands: Sendable {
    /// A value that Redis answered with.
    public indirect enum Value: Sendable, Hashable {
        /// Nothing.
        case null
        /// A number.
        case integer(Int64)
        /// Bytes.
        case bytes([UInt8])
        /// A list.
        case array([Value])

        /// The bytes as text; `nil` for everything that is no UTF-8.
        public var text: String? {
            if case .bytes(let bytes) = self { String(validating: bytes, as: UTF8.self) } else { nil }
        }

        /// The number; `nil` for everything else.
        public var integer: Int? {
            if case .integer(let value) = self { Int(exactly: value) } else { nil }
        }

        /// The list; empty for everything else.
        public var elements: [Value] {
            if case .array(let values) = self { values } else { [] }
        }
    }

    private let link: RedisLink

    /// Uses the server of a queue's client; ends with it.
    ///
    /// - Parameter queue: The client.
    public init(_ queue: RedisQueue) { link = queue.applicationLink }

    /// Runs one command.
    ///
    /// - Parameter words: The command and its arguments.
    /// - Returns: The answer.
    /// - Throws: `QueueError` for an error of Redis, `unavailable`, `indeterminate`.
    public func run(_ words: [String]) async throws(QueueError) -> Value {
        try await link.command(words).value()
    }

    /// Runs a script as one atomic step.
    ///
    /// Its text travels with each call.
    ///
    /// - Parameters:
    ///   - script: The Lua source.
    ///   - keys: The keys it uses.
    ///   - arguments: Its arguments.
    /// - Returns: The answer.
    /// - Throws: As ``run(_:)``.
    public func evaluate(_ script: String, keys: [String], arguments: [String]) async throws(QueueError) -> Value {
        try await run(["EVAL", script, String(keys.count)] + keys + arguments)
    }
}

extension RedisReply {
    /// The reply as a tree.
    fileprivate func value() throws(QueueError) -> RedisCommands.Value {
        try read(nil) { (cursor) throws(RedisReplyCursor.Unexpected) in try Self.value(&cursor) }
    }

    private static func value(
        _ cursor: inout RedisReplyCursor
    ) throws(RedisReplyCursor.Unexpected) -> RedisCommands.Value {
        let part = try cursor.part()
        switch part.kind {
        case .null: return .null
        case .integer: return .integer(part.value)
        case .string, .status, .error: return .bytes(Array(cursor.reply.slice(part)))
        case .array:
            var values: [RedisCommands.Value] = []
            for _ in 0..<max(0, part.value) { values.append(try value(&cursor)) }
            return .array(values)
        }
    }
}
#endif

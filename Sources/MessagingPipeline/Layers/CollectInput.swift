/// Where statements are read from: a name for reports, and the bytes in pieces, so that a large input is never whole in
/// memory.
public struct CollectInput: Sendable {
    /// The name for reports and for the statements' `source`.
    public let name: String
    /// How the statements are written; `nil` tells it from the first byte.
    public let format: StatementParser.Format?
    /// Calls the closure with each piece in order, and with an empty one before it waits for more.
    let read: @Sendable (_ piece: @Sendable ([UInt8]) async throws -> Void) async throws -> Void

    /// Creates an input.
    ///
    /// - Parameters:
    ///   - name: The name for reports.
    ///   - format: How the statements are written; `nil` tells it from the first byte.
    ///   - read: Calls the closure with each piece of the input in order; throws when the input cannot be read. An empty
    ///     piece says that nothing more comes for now: what was read so far is published then, not with what follows.
    public init(
        name: String,
        format: StatementParser.Format? = nil,
        read: @escaping @Sendable (_ piece: @Sendable ([UInt8]) async throws -> Void) async throws -> Void
    ) {
        self.name = name
        self.format = format
        self.read = read
    }

    /// Creates an input from bytes in memory.
    ///
    /// - Parameters:
    ///   - name: The name for reports.
    ///   - bytes: The input.
    public init(name: String, bytes: [UInt8]) {
        self.init(name: name) { piece in try await piece(bytes) }
    }
}

import Foundation
import MessagingPipeline

/// The stores of one pipeline, new and empty, each seen through one client or several.
public struct StoreBed: Sendable {
    /// Clients of one deduplication store.
    public let deduplication: [any DeduplicationStore]
    /// Clients of one statement store.
    public let statements: [any StatementStore]

    /// Creates a bed.
    ///
    /// - Parameters:
    ///   - deduplication: Clients of one deduplication store, at least one.
    ///   - statements: Clients of one statement store, at least one.
    public init(deduplication: [any DeduplicationStore], statements: [any StatementStore]) {
        self.deduplication = deduplication
        self.statements = statements
    }

    /// The client a worker uses.
    func deduplication(_ worker: Int) -> any DeduplicationStore { deduplication[worker % deduplication.count] }
    func statements(_ worker: Int) -> any StatementStore { statements[worker % statements.count] }
}

/// A law that the stores of every backend keep.
public struct StoreLaw: Sendable, CustomStringConvertible {
    /// The law in a few words.
    public let description: String
    /// The check; throws ``StoreFailure`` when the law is broken.
    public let check: @Sendable (StoreBed) async throws -> Void

    init(_ description: String, check: @escaping @Sendable (StoreBed) async throws -> Void) {
        self.description = description
        self.check = check
    }

    /// Every law.
    public static let all = deduplicationLaws + statementLaws + modelLaws
}

/// A law that was broken.
public struct StoreFailure: Error, CustomStringConvertible {
    /// What was expected and what came instead.
    public let description: String
}

func expect<Value: Equatable>(_ found: Value, _ expected: Value, _ what: String) throws {
    if found != expected { throw StoreFailure(description: "\(what): \(found), expected \(expected)") }
}

func analysed(_ id: String, _ text: String, at seconds: Double? = 0) -> AnalysedStatement {
    let statement = Statement(id: id, createdAt: seconds.map { Date(timeIntervalSince1970: $0) }, text: text)
    return AnalysedStatement(statement: statement, analysis: LexiconAnalyzer().analyse(statement))
}

func judged(
    _ id: String,
    _ text: String = "text",
    at seconds: Double? = 0,
    text name: String? = nil,
    original: (String, Double)? = nil,
    supersedes: [String] = []
) -> JudgedStatement {
    let statement = analysed(id, text, at: seconds)
    let origin = original.map { (id: $0.0, order: analysed($0.0, "", at: $0.1).statement.orderKey) }
    let order = statement.statement.orderKey
    return JudgedStatement(
        analysed: statement,
        verdict: Verdict(order: order, text: name, original: origin, supersedes: supersedes)
    )
}

extension StatementStore {
    /// Everything, duplicates too, page by page.
    public func everything(limit: Int = 200) async throws -> [StoredStatement] {
        var items: [StoredStatement] = []
        var cursor: String?
        repeat {
            let page = try await list(StatementQuery(limit: limit, cursor: cursor, includesDuplicates: true))
            items += page.items
            cursor = page.nextCursor
        } while cursor != nil
        return items
    }

    func ids(_ query: StatementQuery) async throws -> [String] {
        try await list(query).items.map(\.statement.id)
    }
}

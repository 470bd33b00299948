/// A statement store in the memory of the process.
public actor MemoryStatementStore: StatementStore {
    private struct Original {
        let id: String
        let order: String
    }

    private struct Key {
        let order: String
        let id: String
    }

    private let capacity: Int
    private var statements: [String: AnalysedStatement] = [:]
    // The earliest known original of each duplicate, arrived or not.
    private var originals: [String: Original] = [:]
    // The other way round.
    private var duplicates: [String: Set<String>] = [:]
    private var sorted: [Key] = []

    /// Creates an empty store.
    ///
    /// - Parameter capacity: The most statements it takes, and the most it remembers to be duplicates.
    public init(capacity: Int = 1_000_000) {
        self.capacity = capacity
    }

    /// Applies a judged statement, as ``StatementStore/apply(_:)`` demands.
    ///
    /// - Parameter judged: The statement and the verdict on it.
    /// - Returns: Whether the statement is new.
    /// - Throws: ``StoreError/full(capacity:)`` when there is no room, with nothing changed, and `EncodingError` when the
    ///   store holds the id already and one of the two contents cannot be written as JSON.
    @discardableResult
    public func apply(_ judged: JudgedStatement) throws -> StatementChange {
        let statement = judged.analysed.statement
        let id = statement.id
        let verdict = judged.verdict
        let known = statements[id]
        var marked = verdict.supersedes.map { ($0, Original(id: id, order: verdict.order)) }
        if let original = verdict.duplicateOf {
            marked.append((id, Original(id: original, order: verdict.duplicateOfOrder ?? "")))
        }
        let newMarks = Set(marked.map(\.0)).count { originals[$0] == nil }
        guard known != nil || statements.count < capacity, originals.count + newMarks <= capacity else {
            throw StoreError.full(capacity: capacity)
        }

        if let known {
            try merge(judged.analysed, with: known)
        } else {
            statements[id] = judged.analysed
            insertKey(of: statement)
        }
        for (duplicate, original) in marked { mark(duplicate, as: original) }
        return known == nil ? .added : .unchanged
    }

    /// Finds one statement.
    ///
    /// - Parameter id: The id of the statement.
    /// - Returns: The statement, or nil when none with this id has been applied.
    public func statement(id: String) -> StoredStatement? {
        statements[id].map(stored)
    }

    /// Lists statements, newest first.
    ///
    /// - Parameter query: Which ones are wanted.
    /// - Returns: One page of them.
    public func list(_ query: StatementQuery) -> StatementPage {
        var items: [StoredStatement] = []
        var last: String?
        let end = query.before.map { before in position(of: before) } ?? sorted.endIndex
        for key in sorted[..<end].reversed() {
            guard let analysed = statements[key.id], query.matches(analysed, isDuplicate: originals[key.id] != nil)
            else { continue }
            if items.count == query.limit {
                return StatementPage(items: items, nextCursor: last.map(StatementQuery.cursor(after:)))
            }
            items.append(stored(analysed))
            last = key.order
        }
        return StatementPage(items: items)
    }

    /// Counts the statements that have been applied.
    ///
    /// - Returns: The numbers of unique statements and of duplicates.
    public func counts() -> StatementCounts {
        let duplicates = originals.keys.count { statements[$0] != nil }
        return StatementCounts(unique: statements.count - duplicates, duplicates: duplicates)
    }

    private func stored(_ analysed: AnalysedStatement) -> StoredStatement {
        let id = analysed.statement.id
        let present = (duplicates[id] ?? []).filter { statements[$0] != nil }
        return StoredStatement(analysed, duplicateOf: originals[id]?.id, duplicates: Array(present))
    }

    private func mark(_ id: String, as original: Original) {
        if let known = originals[id] {
            guard (original.order, original.id) < (known.order, known.id) else { return }
            duplicates[known.id]?.remove(id)
            if duplicates[known.id]?.isEmpty ?? false { duplicates[known.id] = nil }
        }
        originals[id] = original
        duplicates[original.id, default: []].insert(id)
    }

    private func merge(_ analysed: AnalysedStatement, with known: AnalysedStatement) throws {
        let isFirst = try PipelineJSON.encode(analysed).lexicographicallyPrecedes(PipelineJSON.encode(known))
        guard isFirst else { return }
        let position = position(of: known.statement.orderKey)
        if position < sorted.endIndex, sorted[position].id == known.statement.id { sorted.remove(at: position) }
        statements[analysed.statement.id] = analysed
        insertKey(of: analysed.statement)
    }

    private func insertKey(of statement: Statement) {
        let order = statement.orderKey
        sorted.insert(Key(order: order, id: statement.id), at: position(of: order))
    }

    /// The index of the first key that does not come before the order.
    private func position(of order: String) -> Int {
        var low = sorted.startIndex
        var high = sorted.endIndex
        while low < high {
            let middle = (low + high) / 2
            if sorted[middle].order < order { low = middle + 1 } else { high = middle }
        }
        return low
    }
}

/// A statement store in the memory of the process.
public actor MemoryStatementStore: StatementStore {
    private struct Entry {
        var analysed: AnalysedStatement
        var text: String
        var order: String
    }

    /// The statements with the same normalised text.
    private struct Text {
        // The earliest statement known to say the same, arrived or not.
        var original: OriginalMark
        // The ids of those that have arrived.
        var members: Set<String> = []
    }

    private let capacity: Int
    private var entries: [String: Entry] = [:]
    private var texts: [String: Text] = [:]
    // From the id of an original to the texts it is the original of.
    private var textsOfOriginals: [String: Set<String>] = [:]
    private var all = SortedKeys()
    private var unique = SortedKeys()
    // Ids in the order in which they were first applied.
    private var applied: [String] = []

    /// Creates an empty store.
    ///
    /// - Parameter capacity: The most statements it takes, and the most texts it knows an original of.
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
        let known = entries[statement.id]
        let marks = judged.marks
        let newTexts = marks.count { texts[$0.text] == nil }
        guard known != nil || entries.count < capacity, texts.count + newTexts <= capacity else {
            throw StoreError.full(capacity: capacity)
        }
        let replaces = try known.map { try Self.precedes(judged.analysed, $0.analysed) } ?? true

        for mark in marks { apply(mark) }
        if replaces {
            if let known { remove(known) }
            insert(Entry(analysed: judged.analysed, text: judged.text, order: statement.orderKey))
        }
        if known == nil { applied.append(statement.id) }
        return known == nil ? .added : .unchanged
    }

    /// Finds one statement.
    ///
    /// - Parameter id: The id of the statement.
    /// - Returns: The statement, or nil when none with this id has been applied.
    public func statement(id: String) -> StoredStatement? {
        entries[id].map(stored)
    }

    /// Lists statements, newest first.
    ///
    /// - Parameter query: Which ones are wanted.
    /// - Returns: One page of them.
    public func list(_ query: StatementQuery) -> StatementPage {
        var items: [StoredStatement] = []
        var last: String?
        var isMore = false
        (query.includesDuplicates ? all : unique).visitDown(below: query.before) { key in
            guard let entry = entries[key.id] else { return true }
            if query.isBelow(entry.analysed.statement) { return false }
            guard query.matches(entry.analysed, isDuplicate: isDuplicate(entry)) else { return true }
            if items.count == query.limit {
                isMore = true
                return false
            }
            items.append(stored(entry))
            last = key.order
            return true
        }
        return StatementPage(items: items, nextCursor: isMore ? last.map(StatementQuery.cursor(after:)) : nil)
    }

    /// Counts the statements that have been applied.
    ///
    /// - Returns: The numbers of unique statements and of duplicates.
    public func counts() -> StatementCounts {
        StatementCounts(unique: unique.count, duplicates: entries.count - unique.count)
    }

    /// Lists statements in the order in which they were first applied.
    ///
    /// - Parameters:
    ///   - position: The position behind which to begin; 0 for the beginning.
    ///   - limit: The most statements.
    /// - Returns: The statements.
    public func changes(after position: Int64, limit: Int) -> StatementChanges {
        let start = Int(clamping: max(0, position))
        guard start < applied.count, limit > 0 else { return StatementChanges(items: []) }
        let end = start + min(limit, applied.count - start)
        return StatementChanges(
            items: (start..<end).compactMap { index in
                entries[applied[index]].map { .init(position: Int64(index) + 1, statement: stored($0)) }
            }
        )
    }

    /// The position of the statement that was added last; 0 when there is none.
    ///
    /// - Returns: The position.
    public func lastPosition() -> Int64 {
        Int64(applied.count)
    }

    // MARK: - State

    private func isDuplicate(_ entry: Entry) -> Bool {
        texts[entry.text].map { $0.original.id != entry.analysed.statement.id } ?? false
    }

    private func stored(_ entry: Entry) -> StoredStatement {
        let id = entry.analysed.statement.id
        var duplicates: [String] = []
        for text in textsOfOriginals[id] ?? [] {
            duplicates += (texts[text]?.members ?? []).filter { $0 != id }
        }
        return StoredStatement(
            entry.analysed,
            duplicateOf: isDuplicate(entry) ? texts[entry.text]?.original.id : nil,
            duplicates: duplicates
        )
    }

    private func apply(_ mark: OriginalMark) {
        guard let before = texts[mark.text]?.original else {
            texts[mark.text] = Text(original: mark)
            textsOfOriginals[mark.id, default: []].insert(mark.text)
            return
        }
        guard (mark.order, mark.id) < (before.order, before.id) else { return }
        texts[mark.text]?.original = mark
        guard mark.id != before.id else { return }
        textsOfOriginals[before.id]?.remove(mark.text)
        if textsOfOriginals[before.id]?.isEmpty ?? false { textsOfOriginals[before.id] = nil }
        textsOfOriginals[mark.id, default: []].insert(mark.text)
        // Of all statements of the text only these two can be, or have been, unique.
        if let entry = entries[before.id], entry.text == mark.text { unique.remove(entry.order) }
        if let entry = entries[mark.id], entry.text == mark.text { unique.insert(key(entry)) }
    }

    private func insert(_ entry: Entry) {
        entries[entry.analysed.statement.id] = entry
        texts[entry.text]?.members.insert(entry.analysed.statement.id)
        all.insert(key(entry))
        if !isDuplicate(entry) { unique.insert(key(entry)) }
    }

    private func remove(_ entry: Entry) {
        texts[entry.text]?.members.remove(entry.analysed.statement.id)
        all.remove(entry.order)
        unique.remove(entry.order)
    }

    private func key(_ entry: Entry) -> SortedKeys.Key {
        SortedKeys.Key(order: entry.order, id: entry.analysed.statement.id)
    }

    /// Whether a content counts instead of another one under the same id.
    private static func precedes(_ new: AnalysedStatement, _ known: AnalysedStatement) throws -> Bool {
        try new != known && PipelineJSON.encode(new).lexicographicallyPrecedes(PipelineJSON.encode(known))
    }
}

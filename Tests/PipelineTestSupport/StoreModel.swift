import Messaging
import MessagingPipeline
import TestSupport

/// Statements with much in common, and what the stores must make of them, by comparing each with each.
struct StoreModel: Sendable {
    /// Every content; of two under one id only one counts in the end.
    let contents: [AnalysedStatement]
    let fingerprints: [Fingerprint]
    let expected: [StoredStatement]

    init(seed: UInt64, count: Int) throws {
        var generator = SeededGenerator(seed: seed)
        let words = (0..<300).map { "w\(String($0 * 7919 % 46_656, radix: 36))y" }
        // Chains, in which each text changes a word of the one before, so that the ends are no longer similar, and stars,
        // in which each changes a word of the first.
        var texts: [[String]] = []
        for family in 0..<4 {
            let first = (0..<24).map { _ in words.randomElement(using: &generator) ?? "" }
            var text = first
            for _ in 0..<max(6, count / 8) {
                texts.append(text)
                if family % 2 == 0 { text = first }
                text[Int.random(in: 0..<24, using: &generator)] = words.randomElement(using: &generator) ?? ""
            }
        }
        let short = ["Thank you", "😀", "https://t.co/x", "4.1 percent"]
        var contents: [AnalysedStatement] = []
        for number in 0..<count {
            let time = Int.random(in: 0..<max(12, count / 3), using: &generator)
            // Now and then the id of another statement, with a content of its own.
            let id = Int.random(in: 0..<15, using: &generator) == 0 ? "\(number / 2)" : Self.id(number)
            let text =
                Int.random(in: 0..<6, using: &generator) == 0
                ? short.randomElement(using: &generator)
                : texts.randomElement(using: &generator)?.joined(separator: " ")
            contents.append(analysed(id, text ?? "", at: time == 0 ? nil : Double(time) * 60))
        }
        self.contents = contents
        fingerprints = contents.map { Fingerprint($0) }
        expected = try Self.judge(contents, fingerprints)
    }

    private static func id(_ number: Int) -> String {
        switch number % 7 {
        case 0: "t-\(number)"
        case 1: "é\u{0}\(number)"
        default: "\(number)"
        }
    }

    private static func judge(_ contents: [AnalysedStatement], _ fingerprints: [Fingerprint]) throws
        -> [StoredStatement]
    {
        var kept: [String: (analysed: AnalysedStatement, original: String)] = [:]
        for (content, fingerprint) in zip(contents, fingerprints) {
            let original = fingerprints.filter(fingerprint.saysTheSame).min { ($0.order, $0.id) < ($1.order, $1.id) }
            let id = content.statement.id
            if let other = kept[id], try !isSmaller(content, other.analysed) { continue }
            kept[id] = (content, original?.id ?? id)
        }
        return kept.values.sorted { $1.analysed.statement.precedes($0.analysed.statement) }.map { item in
            let id = item.analysed.statement.id
            return StoredStatement(
                item.analysed,
                duplicateOf: item.original == id ? nil : item.original,
                duplicates: kept.filter { $0.key != id && $0.value.original == id }.map(\.key)
            )
        }
    }

    private static func isSmaller(_ first: AnalysedStatement, _ second: AnalysedStatement) throws -> Bool {
        try PipelineJSON.encode(first).lexicographicallyPrecedes(PipelineJSON.encode(second))
    }

    /// Brings every statement to the stores in a random order, as workers do whose deliveries come again.
    ///
    /// Each delivery inserts; a crash loses its verdict, but never that of the last delivery. The layer behind gets each
    /// verdict once or twice, in an order of its own, the first ones while others are still being judged.
    func run(seed: UInt64, workers: Int, _ bed: StoreBed) async throws {
        var generator = SeededGenerator(seed: seed ^ 0xABCD)
        var deliveries = contents.indices.map { (index: $0, isLost: false) }
        deliveries += contents.indices.filter { _ in Bool.random(using: &generator) }.map { index in
            (index, Bool.random(using: &generator))
        }
        deliveries.shuffle(using: &generator)
        let plan = deliveries.map { delivery in (delivery, times: Int.random(in: 0...2, using: &generator)) }
        var late = try await withThrowingTaskGroup(of: [JudgedStatement].self) { group in
            for worker in 0..<workers {
                group.addTask {
                    var late: [JudgedStatement] = []
                    for place in stride(from: worker, to: plan.count, by: workers) {
                        let ((index, isLost), times) = plan[place]
                        let found = try await bed.deduplication(worker).insert(fingerprints[index])
                        if isLost { continue }
                        let judged = JudgedStatement(
                            analysed: contents[index],
                            verdict: Deduplicator.judge(fingerprints[index], against: found)
                        )
                        if times == 0 || times == 2 { late.append(judged) }
                        if times > 0 { try await bed.statements(worker).apply(judged) }
                    }
                    return late
                }
            }
            return try await group.reduce(into: []) { $0 += $1 }
        }
        late.shuffle(using: &generator)
        let rest = late
        try await withThrowingTaskGroup(of: Void.self) { group in
            for worker in 0..<workers {
                group.addTask {
                    for place in stride(from: worker, to: rest.count, by: workers) {
                        try await bed.statements(worker).apply(rest[place])
                    }
                }
            }
            try await group.waitForAll()
        }
    }
}

extension StoreLaw {
    static let modelLaws: [StoreLaw] =
        [1, 4].flatMap { workers in
            (0..<3 as Range<UInt64>).map { seed in
                StoreLaw("the final listing is that of the model, with \(workers) workers, seed \(seed)") { bed in
                    let model = try StoreModel(seed: seed, count: 90)
                    try await model.run(seed: seed, workers: workers, bed)
                    try await model.verify(bed)
                }
            }
        } + [
            StoreLaw("the final listing is that of the model, with many similar texts") { bed in
                try await StoreModelCheck.run(seed: 99, count: 300, workers: 3, bed)
            }
        ]
}

extension StoreModel {
    func verify(_ bed: StoreBed) async throws {
        let store = bed.statements(0)
        let found = try await store.everything()
        for (item, wanted) in zip(found, expected) { try expect(item, wanted, "an item") }
        try expect(found.count, expected.count, "items")
        let unique = expected.filter { $0.duplicateOf == nil }
        let page = try await store.ids(StatementQuery(limit: 200))
        try expect(page, unique.prefix(200).map(\.statement.id), "unique ones")
        try expect(
            try await store.counts(),
            StatementCounts(unique: unique.count, duplicates: expected.count - unique.count),
            "counts"
        )
        let changes = try await store.changes(after: 0, limit: expected.count + 1).items
        try expect(changes.map(\.position), (0..<expected.count).map { Int64($0) + 1 }, "positions")
        try expect(Set(changes.map(\.statement)), Set(expected), "changes")
        try expect(try await bed.deduplication(0).count(), Set(fingerprints.map(\.exact)).count, "texts")
    }
}

/// Statements in random order with repeats and lost verdicts, compared with a model that compares each with each.
public enum StoreModelCheck {
    /// Runs one seed.
    ///
    /// - Parameters:
    ///   - seed: What everything random depends on.
    ///   - count: How many statements.
    ///   - workers: How many tasks at a time.
    ///   - bed: The stores.
    /// - Throws: ``StoreFailure`` when the result differs.
    public static func run(seed: UInt64, count: Int, workers: Int, _ bed: StoreBed) async throws {
        let model = try StoreModel(seed: seed, count: count)
        try await model.run(seed: seed, workers: workers, bed)
        try await model.verify(bed)
    }
}

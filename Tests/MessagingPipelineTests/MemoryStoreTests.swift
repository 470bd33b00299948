import PipelineTestSupport
import Testing

@testable import MessagingPipeline

@Suite("Stores in memory", .timeLimit(.minutes(2)))
struct MemoryStoreTests {
    private func bed() -> StoreBed {
        StoreBed(deduplication: [MemoryDeduplicationStore()], statements: [MemoryStatementStore()])
    }

    @Test(arguments: StoreLaw.all)
    func law(_ law: StoreLaw) async throws {
        try await law.check(bed())
    }

    @Test(arguments: 100..<120 as Range<UInt64>)
    func theModel(seed: UInt64) async throws {
        try await StoreModelCheck.run(seed: seed, count: 60, workers: seed % 3 == 0 ? 4 : 1, bed())
    }

    /// Each insert of a copy is answered by one fingerprint, however many there are: the work does not grow.
    @Test func manyCopiesAreCheap() async throws {
        let bed = bed()
        let text = "The very same words are said again and again by everybody"
        let one = analysed("1", text)
        let name = Fingerprint(one).exact
        for number in (0..<1500).reversed() {
            let statement = Statement(id: "\(number)", createdAt: one.statement.createdAt, text: text)
            let fingerprint = Fingerprint(statement: statement, normalizedText: one.analysis.normalizedText)
            let found = try await bed.deduplication[0].insert(fingerprint)
            #expect(found.count <= 1)
            let verdict = Deduplicator.judge(fingerprint, against: found)
            #expect(verdict.supersedes.isEmpty && verdict.text == name)
            let copy = AnalysedStatement(statement: statement, analysis: one.analysis)
            try await bed.statements[0].apply(JudgedStatement(analysed: copy, verdict: verdict))
        }
        #expect(try await bed.statements[0].counts() == StatementCounts(unique: 1, duplicates: 1499))
        #expect(try await bed.statements[0].statement(id: "0")?.duplicates.count == 1499)
    }
}

import Messaging
import MessagingConformance
import Testing

#if canImport(FoundationEssentials)
import FoundationEssentials
#else
import Foundation
#endif

/// The memory harness with a producer that no mutant sees, as another program would be.
private struct ForeignHarness: ConformanceHarness {
    private let base = MemoryHarness()

    var timeUnit: Duration { base.timeUnit }
    var tolerance: Duration { base.tolerance }
    var now: Duration { base.now }
    var faults: (any FaultControl)? { base.faults }

    func makeQueue() async throws -> any MessageQueue { try await base.makeQueue() }
    func uniqueName(_ prefix: String) -> String { base.uniqueName(prefix) }
    func advance(by duration: Duration) async throws { try await base.advance(by: duration) }

    func injectForeign(body: [UInt8], into queue: String) async throws -> Bool {
        try await base.makeQueue().publish(Message(body: body), to: queue)
        return true
    }
}

/// The cases prove that they can fail.
@Suite("The conformance suite has teeth", .serialized, .timeLimit(.minutes(10)))
struct MutantTests {
    /// The named pairs, or every pair when `MQ_MUTANTS` is `all`; run once for all tests.
    private static let table = Task {
        let everyPair = ProcessInfo.processInfo.environment["MQ_MUTANTS"] == "all"
        // Mutants that lose messages leave many of the cases that do not name them waiting.
        let limit: Duration = everyPair ? .seconds(2) : .seconds(20)
        return await KillTable.run(everyPair: everyPair, timeLimit: limit) { ForeignHarness() }
    }

    @Test("each mutant is killed by each case that it names", arguments: Mutants.all)
    func isKilled(_ mutant: Mutant) async {
        let table = await Self.table.value
        #expect(!mutant.killedBy.isEmpty, "\(mutant) names no case")
        for id in mutant.killedBy {
            let verdict = table[mutant.id, id]
            #expect(verdict?.isKill == true, "\(mutant) (\(mutant.law)), \(id): \(String(describing: verdict))")
        }
    }

    @Test("each case kills a mutant that names it", arguments: Conformance.all)
    func hasTeeth(_ law: ConformanceCase) async {
        let table = await Self.table.value
        let killed = Mutants.killed(by: law.id).filter { table[$0.id, law.id]?.isKill == true }
        #expect(!killed.isEmpty, "no mutant is killed by \(law): \(law.law)")
    }

    @Test("a mutant that breaks nothing passes", arguments: Conformance.all)
    func unmutated(_ law: ConformanceCase) async throws {
        let harness = Mutants.none.wrap(ForeignHarness())
        try await law.run(on: harness)
    }

    @Test("mutants have ids of their own and name cases that exist")
    func names() {
        let ids = Mutants.all.map(\.id)
        #expect(Set(ids).isDisjoint(with: Mutants.unseen.map(\.id)))
        #expect(Set(ids).count == ids.count)
        #expect(ids.allSatisfy { $0.allSatisfy { $0.isLowercase || $0 == "-" } })
        #expect(Mutants.all.allSatisfy { !$0.law.isEmpty && !$0.law.contains("\n") })
        let unknown = Mutants.all.flatMap(\.killedBy).filter { Conformance.find($0) == nil }
        #expect(unknown == [])
        #expect(ids.allSatisfy { Mutants.find($0)?.id == $0 })
    }

    @Test("the table says which cases fail on which mutants")
    func table() async {
        let table = await Self.table.value
        print(table)
        #expect(table.broken == [])
        #expect(table.toothless == [])
    }

    @Test("no case sees the mutants that are listed as unseen")
    func unseen() async {
        let table = await KillTable.run(Mutants.unseen, everyPair: true) { ForeignHarness() }
        for mutant in Mutants.unseen {
            let killers = Conformance.all.map(\.id).filter { table[mutant.id, $0] != .survived }
            #expect(killers == [], "\(mutant) is seen now: move it to its family and let it name these cases")
        }
    }

    @Test("a mutant that survives and a case without teeth are found")
    func tableFindsFaults() async throws {
        let law = try #require(Conformance.find("rt.bytes"))
        let other = try #require(Conformance.find("rt.basic"))
        let lazy = Mutants.find("headers-dropped")
        let table = await KillTable.run([Mutants.none, try #require(lazy)], cases: [law, other], everyPair: true) {
            MemoryHarness()
        }
        #expect(table["none", "rt.bytes"] == .survived)
        #expect(table["headers-dropped", "rt.basic"]?.isKill == true)
        #expect(table.toothless == ["rt.bytes"])
        // The mutant names two cases that were not run here.
        #expect(table.broken.count == 2)
        #expect(table.description.contains("none            ..  nothing"))
        #expect(table.description.contains("headers-dropped .K  headers do not travel"))
        #expect(table.description.contains("1 rt.bytes kills nothing"))
    }
}

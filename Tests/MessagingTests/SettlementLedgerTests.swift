import Messaging
import Synchronization
import Testing

@Suite("The settlement ledger")
struct SettlementLedgerTests {
    private func receipt(_ number: UInt64) -> Receipt { Receipt(high: number, low: 0, fence: 1, source: 0) }

    private final class Shared: Sendable {
        private let ledger = Mutex(SettlementLedger())
        func handOver(_ receipt: Receipt) { ledger.withLock { $0.handOver(receipt) } }
        func begin(_ receipt: Receipt) -> SettlementLedger.Start { ledger.withLock { $0.begin(receipt) } }
    }

    @Test("of 100 that begin at once one proceeds")
    func once() async {
        let (ledger, receipt) = (Shared(), receipt(1))
        ledger.handOver(receipt)
        let starts = await withTaskGroup(of: SettlementLedger.Start.self) { group in
            for _ in 0..<100 { group.addTask { ledger.begin(receipt) } }
            return await group.reduce(into: [SettlementLedger.Start]()) { $0.append($1) }
        }
        #expect(starts.count { $0 == .proceed } == 1)
        #expect(starts.count { $0 == .alreadySettled } == 99)
    }

    @Test("what failed is held again, what is settled is remembered, what is lost is not")
    func ends() {
        var ledger = SettlementLedger()
        #expect(ledger.begin(receipt(1)) == .leaseLost)
        for number in 1...4 { ledger.handOver(receipt(UInt64(number))) }
        #expect(ledger.heldCount == 4)

        #expect(ledger.begin(receipt(1)) == .proceed)
        ledger.end(receipt(1), .failed)
        #expect(ledger.holds(receipt(1)))
        #expect(ledger.begin(receipt(1)) == .proceed)
        ledger.end(receipt(1), .settled)
        #expect(!ledger.holds(receipt(1)))
        #expect(ledger.begin(receipt(1)) == .alreadySettled)

        #expect(ledger.begin(receipt(2)) == .proceed)
        ledger.end(receipt(2), .leaseLost)
        #expect(ledger.begin(receipt(2)) == .leaseLost)

        ledger.lose(receipt(3))
        #expect(ledger.begin(receipt(3)) == .leaseLost)
        #expect(ledger.held == [receipt(4)])
    }

    @Test("taking everything leaves what is being settled")
    func takeAll() {
        var ledger = SettlementLedger()
        for number in 1...3 { ledger.handOver(receipt(UInt64(number))) }
        _ = ledger.begin(receipt(2))
        #expect(Set(ledger.takeAll()) == [receipt(1), receipt(3)])
        #expect(ledger.held == [receipt(2)])
        #expect(ledger.takeAll().isEmpty)
    }

    @Test("what is handed over again is nobody's settled delivery any more, whatever became of it before")
    func again() {
        var ledger = SettlementLedger()
        ledger.handOver(receipt(1))
        _ = ledger.begin(receipt(1))
        ledger.end(receipt(1), .settled)
        ledger.handOver(receipt(1))
        #expect(ledger.heldCount == 1)
        #expect(ledger.begin(receipt(1)) == .proceed)
        #expect(ledger.begin(receipt(1)) == .alreadySettled)
        ledger.end(receipt(1), .failed)
        ledger.lose(receipt(1))
        #expect(ledger.begin(receipt(1)) == .leaseLost)
    }

    @Test("at least the last 4,096 settled receipts are remembered, and at most twice as many")
    func bounded() {
        var ledger = SettlementLedger()
        for number in 0..<10_000 as Range<UInt64> {
            ledger.handOver(receipt(number))
            _ = ledger.begin(receipt(number))
            ledger.end(receipt(number), .settled)
        }
        #expect(ledger.heldCount == 0)
        #expect(ledger.held.isEmpty)
        let remembered = (0..<10_000 as Range<UInt64>).filter { ledger.begin(receipt($0)) == .alreadySettled }
        #expect(remembered == Array(4096..<10_000))
    }
}

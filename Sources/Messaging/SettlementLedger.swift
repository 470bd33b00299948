/// What one consumer holds, and which of its deliveries have ended: the settle-once decision, without I/O.
///
/// For backends. A delivery is *held* from its hand-over, *settling* while a settlement is under way, and then either
/// ended or, when the settlement could not be carried out, held again. Exactly one of many concurrent settlements
/// proceeds.
public struct SettlementLedger: Sendable {
    /// The answer to an attempt to settle.
    public enum Start: Sendable, Equatable {
        /// The settlement may go to the broker.
        case proceed
        /// The delivery is settling, or was settled before.
        case alreadySettled
        /// The consumer does not hold the delivery.
        case leaseLost
    }

    /// How an attempt to settle went.
    public enum End: Sendable, Equatable {
        /// It was carried out.
        case settled
        /// Somebody else has the delivery.
        case leaseLost
        /// It was not carried out: the delivery is held again.
        case failed
    }

    /// How many ended deliveries are remembered at least, to tell "settled before" from "never yours"; at most twice as many.
    private static let remembered = 4096

    private enum State: UInt8 {
        case held, settling
    }

    /// What is held: few, which the processor keeps at hand.
    private var states: [Receipt: State] = [:]
    /// The latest of what has ended, and what ended before those; forgotten together, not one by one.
    private var ended: (late: Set<Receipt>, early: Set<Receipt>) = ([], [])

    /// How many deliveries are held or settling.
    package var heldCount: Int { states.count }

    /// Creates the ledger of a consumer that holds nothing.
    public init() {}

    /// The deliveries that are held or settling.
    package var held: [Receipt] { Array(states.keys) }

    /// Tells whether a delivery is held or settling.
    package func holds(_ receipt: Receipt) -> Bool { states[receipt] != nil }

    /// Notes that a delivery was handed over.
    ///
    /// - Parameter receipt: Its receipt.
    public mutating func handOver(_ receipt: Receipt) { states[receipt] = .held }

    /// Decides whether a settlement may go to the broker.
    ///
    /// - Parameter receipt: The delivery's receipt.
    /// - Returns: Whether it may; ``end(_:_:)`` must follow then.
    public mutating func begin(_ receipt: Receipt) -> Start {
        guard let index = states.index(forKey: receipt) else {
            return ended.late.contains(receipt) || ended.early.contains(receipt) ? .alreadySettled : .leaseLost
        }
        guard states.values[index] == .held else { return .alreadySettled }
        states.values[index] = .settling
        return .proceed
    }

    /// Notes how the settlement went that `begin` let through.
    ///
    /// - Parameters:
    ///   - receipt: The delivery's receipt.
    ///   - end: How it went.
    public mutating func end(_ receipt: Receipt, _ end: End) {
        switch end {
        case .failed: handOver(receipt)
        case .leaseLost: lose(receipt)
        case .settled: settled(receipt)
        }
    }

    /// Settles where nothing is waited for: decides, carries out what may proceed, and notes how it went.
    ///
    /// - Parameters:
    ///   - receipt: The delivery's receipt.
    ///   - carryOut: Carries the settlement out.
    /// - Returns: The outcome.
    public mutating func settle(_ receipt: Receipt, _ carryOut: () -> SettleOutcome) -> SettleOutcome {
        switch begin(receipt) {
        case .alreadySettled: return .alreadySettled
        case .leaseLost: return .leaseLost
        case .proceed: break
        }
        let outcome = carryOut()
        switch outcome {
        case .settled, .alreadySettled: end(receipt, .settled)
        case .leaseLost: end(receipt, .leaseLost)
        case .failed: end(receipt, .failed)
        }
        return outcome
    }

    /// Forgets a delivery whose lease is known to be lost.
    package mutating func lose(_ receipt: Receipt) {
        guard states.removeValue(forKey: receipt) != nil else { return }
        // It may have ended once, and have been handed over again.
        ended.late.remove(receipt)
        ended.early.remove(receipt)
    }

    /// Takes everything that is held and not settling, for closing.
    package mutating func takeAll() -> [Receipt] {
        let receipts = states.filter { $0.value == .held }.map(\.key)
        for receipt in receipts { lose(receipt) }
        return receipts
    }

    private mutating func settled(_ receipt: Receipt) {
        states[receipt] = nil
        if ended.late.count == Self.remembered {
            swap(&ended.late, &ended.early)
            ended.late.removeAll(keepingCapacity: true)
        }
        ended.late.insert(receipt)
    }
}

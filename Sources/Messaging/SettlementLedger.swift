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

    /// How many ended deliveries are remembered, to tell "settled before" from "never yours".
    private static let remembered = 4096

    private var settling: [Receipt: Bool] = [:]
    private var ended: Set<Receipt> = []
    private var order: [Receipt] = []
    private var oldest = 0

    /// Creates the ledger of a consumer that holds nothing.
    public init() {}

    /// The deliveries that are held or settling.
    package var held: [Receipt] { Array(settling.keys) }
    /// How many deliveries are held or settling.
    package var heldCount: Int { settling.count }

    /// Tells whether a delivery is held or settling.
    package func holds(_ receipt: Receipt) -> Bool { settling[receipt] != nil }

    /// Notes that a delivery was handed over.
    ///
    /// - Parameter receipt: Its receipt.
    public mutating func handOver(_ receipt: Receipt) { settling[receipt] = false }

    /// Decides whether a settlement may go to the broker.
    ///
    /// - Parameter receipt: The delivery's receipt.
    /// - Returns: Whether it may; ``end(_:_:)`` must follow then.
    public mutating func begin(_ receipt: Receipt) -> Start {
        switch settling[receipt] {
        case false?:
            settling[receipt] = true
            return .proceed
        case true?: return .alreadySettled
        case nil: return ended.contains(receipt) ? .alreadySettled : .leaseLost
        }
    }

    /// Notes how the settlement went that `begin` let through.
    ///
    /// - Parameters:
    ///   - receipt: The delivery's receipt.
    ///   - end: How it went.
    public mutating func end(_ receipt: Receipt, _ end: End) {
        switch end {
        case .failed: settling[receipt] = false
        case .leaseLost: settling[receipt] = nil
        case .settled:
            settling[receipt] = nil
            remember(receipt)
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
    package mutating func lose(_ receipt: Receipt) { settling[receipt] = nil }

    /// Takes everything that is held and not settling, for closing.
    package mutating func takeAll() -> [Receipt] {
        let receipts = settling.filter { !$0.value }.map(\.key)
        settling = settling.filter(\.value)
        return receipts
    }

    private mutating func remember(_ receipt: Receipt) {
        guard ended.insert(receipt).inserted else { return }
        if order.count < Self.remembered {
            order.append(receipt)
        } else {
            ended.remove(order[oldest])
            order[oldest] = receipt
            oldest = (oldest + 1) % Self.remembered
        }
    }
}

#if Redis
import Messaging

/// Sorts settlements into script calls: acknowledgements and releases in batches per stream, in ascending order of
/// their entries as the scripts need it; retries and rejections one by one.
struct SettlePlan {
    enum Kind: Equatable {
        case acknowledge
        case release
        case retry(Duration, String?)
        case reject(DeadLetterReason, String?)
    }

    /// A settlement by its place among those that were asked for.
    typealias Item = (index: Int, receipt: Receipt)

    struct Step {
        let kind: Kind
        let isPrivate: Bool
        let items: [Item]
    }

    private static let batch = 1000
    private var acknowledged: [[Item]] = [[], []]
    private var released: [[Item]] = [[], []]
    private var others: [Step] = []

    var isEmpty: Bool { (acknowledged + released).allSatisfy(\.isEmpty) && others.isEmpty }
    var acknowledgements: Int { acknowledged[0].count }

    var items: [Item] { acknowledged.flatMap(\.self) + released.flatMap(\.self) + others.flatMap(\.items) }

    mutating func add(_ index: Int, _ request: SettleRequest) {
        let item = (index, request.receipt)
        let isPrivate = request.receipt.source == GroupReader.privateSource
        let source = isPrivate ? 1 : 0
        switch request.settlement {
        case .acknowledge, .discard: acknowledged[source].append(item)
        case .release: released[source].append(item)
        case .retry(let delay, let error):
            others.append(Step(kind: .retry(delay, error), isPrivate: isPrivate, items: [item]))
        case .reject(let reason, let error):
            others.append(Step(kind: .reject(reason, error), isPrivate: isPrivate, items: [item]))
        }
    }

    func steps() -> [Step] {
        var steps: [Step] = []
        for (kind, lists, size) in [(Kind.acknowledge, acknowledged, Self.batch), (.release, released, 100)] {
            for (source, list) in lists.enumerated() {
                let sorted = list.sorted { EntryID($0.receipt) < EntryID($1.receipt) }
                for start in stride(from: 0, to: sorted.count, by: size) {
                    let page = Array(sorted[start..<min(start + size, sorted.count)])
                    steps.append(Step(kind: kind, isPrivate: source == 1, items: page))
                }
            }
        }
        return steps + others
    }
}
#endif

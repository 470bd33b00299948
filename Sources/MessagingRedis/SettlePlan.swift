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

    struct Step {
        let kind: Kind
        let isPrivate: Bool
        var requests: [(Int, SettleRequest)]
    }

    private static let batch = 1000
    private var acknowledged: [[(Int, SettleRequest)]] = [[], []]
    private var released: [[(Int, SettleRequest)]] = [[], []]
    private var others: [Step] = []

    var isEmpty: Bool { indices.isEmpty }
    var acknowledgements: Int { acknowledged[0].count }

    var indices: [Int] {
        (acknowledged + released).joined().map(\.0) + others.flatMap { $0.requests.map(\.0) }
    }

    var receipts: [Receipt] {
        (acknowledged + released).joined().map(\.1.receipt) + others.flatMap { $0.requests.map(\.1.receipt) }
    }

    mutating func add(_ index: Int, _ request: SettleRequest) {
        let isPrivate = request.receipt.source == GroupReader.privateSource
        let source = isPrivate ? 1 : 0
        switch request.settlement {
        case .acknowledge, .discard: acknowledged[source].append((index, request))
        case .release: released[source].append((index, request))
        case .retry(let delay, let error):
            others.append(Step(kind: .retry(delay, error), isPrivate: isPrivate, requests: [(index, request)]))
        case .reject(let reason, let error):
            others.append(Step(kind: .reject(reason, error), isPrivate: isPrivate, requests: [(index, request)]))
        }
    }

    func steps() -> [Step] {
        var steps: [Step] = []
        for (kind, lists, size) in [(Kind.acknowledge, acknowledged, Self.batch), (.release, released, 100)] {
            for (source, list) in lists.enumerated() {
                let sorted = list.sorted { EntryID($0.1.receipt) < EntryID($1.1.receipt) }
                for start in stride(from: 0, to: sorted.count, by: size) {
                    let page = Array(sorted[start..<min(start + size, sorted.count)])
                    steps.append(Step(kind: kind, isPrivate: source == 1, requests: page))
                }
            }
        }
        return steps + others
    }
}
#endif

import Messaging

/// One of the two backends of a migration.
public struct MigrationSide: Sendable {
    /// The most messages that are on their way at a time to a side that recognises what was written in before.
    static let page = 512
    /// The most messages that are on their way at a time to any other side: as many a crash can double.
    static let window = 64

    /// The backend.
    public let queue: any MessageQueue
    /// Where it is, without credentials; the journal knows it by this.
    public let label: String

    /// Creates a side.
    ///
    /// - Parameters:
    ///   - queue: The backend.
    ///   - label: Where it is, without credentials.
    public init(_ queue: any MessageQueue, label: String) {
        self.queue = queue
        self.label = label
    }

    /// What moving needs of the backend.
    func transfer() throws(QueueError) -> any QueueTransfer {
        guard let transfer = queue.transfer else {
            throw QueueError(.unsupported, "the \(queue.system) backend cannot hand over what a queue holds")
        }
        return transfer
    }

    /// Goes through everything that a queue holds in one state.
    func pages(
        _ state: StoredMessage.State,
        of name: String,
        group: String?,
        size: Int = 500
    ) throws(QueueError) -> StoredPages {
        StoredPages(transfer: try transfer(), queue: name, state: state, group: group, size: size)
    }

    /// The states of a queue, each with the groups that have to be asked for it.
    static func places(_ groups: [String]) -> [(state: StoredMessage.State, group: String?)] {
        let ofGroups: [StoredMessage.State] = [.ready, .inFlight, .waiting]
        return ofGroups.flatMap { state in groups.map { (state, $0) } } + [(.scheduled, nil), (.dead, nil)]
    }

    /// How many messages are left of a queue, by state.
    ///
    /// - Returns: The counts; `nil` for one that cannot be told.
    func left(of name: String) async throws -> [StoredMessage.State: Int?] {
        guard let definition = try await existing(name) else { return [:] }
        let groups = definition.groups.map(\.name)
        var left: [StoredMessage.State: Int?] = [:]
        for (state, group) in Self.places(groups) + [(.reserved, nil)] {
            let count = try await count(state, group, of: name)
            let sum = left[state] ?? 0
            left[state] = .some(sum.flatMap { sum in count.map { sum + $0 } })
        }
        return left
    }

    /// The settings of a queue; `nil` where there is none, and none of the files it would be in.
    func existing(_ name: String) async throws(QueueError) -> QueueDefinition? {
        do throws(QueueError) {
            return try await queue.definition(of: name)
        } catch {
            guard error.code == .notFound else { throw error }
            return nil
        }
    }

    private func count(_ state: StoredMessage.State, _ group: String?, of name: String) async throws -> Int? {
        var count = 0
        do {
            var pages = try pages(state, of: name, group: group)
            while let page = try await pages.next() { count += page.count }
        } catch let error as QueueError where error.code == .unsupported {
            return try await figure(state, group, of: name)
        }
        return count
    }

    /// The figure of the statistics for what cannot be listed.
    private func figure(_ state: StoredMessage.State, _ group: String?, of name: String) async throws -> Int? {
        let statistics = try await queue.statistics(of: name)
        let ofGroup = group.flatMap { statistics[$0] }
        return switch state {
        case .ready: ofGroup?.ready.value
        case .inFlight: ofGroup?.inFlight.value
        case .waiting: ofGroup?.delayed.value
        case .scheduled: statistics.scheduled.value
        case .dead: statistics.groups.reduce(0) { sum, group in group.dead.value.map { (sum ?? 0) + $0 } }
        case .reserved: 0
        }
    }
}

/// The messages of a queue in one state, page by page; none where there is no such queue or group.
struct StoredPages {
    private let transfer: any QueueTransfer
    private let queue: String
    private let state: StoredMessage.State
    private let group: String?
    private var size: PageSize
    private var cursor: String?
    private var isOver = false

    init(transfer: any QueueTransfer, queue: String, state: StoredMessage.State, group: String?, size: Int) {
        self.transfer = transfer
        self.queue = queue
        self.state = state
        self.group = group
        self.size = PageSize(atMost: size)
    }

    mutating func next() async throws -> [StoredMessage]? {
        if isOver { return nil }
        try Task.checkCancellation()
        let page: Page<StoredMessage>
        do throws(QueueError) {
            page = try await transfer.stored(
                in: queue,
                state: state,
                group: group,
                after: cursor,
                limit: size.count
            )
        } catch {
            guard error.code == .notFound else { throw error }
            isOver = true
            return nil
        }
        cursor = page.next
        isOver = page.next == nil
        size.adapt(to: page.elements.map(\.message))
        return page.elements
    }
}

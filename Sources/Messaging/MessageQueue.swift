/// A broker behind one contract: durable named queues, groups that each get every message, at-least-once delivery with
/// leases, retries, delays and dead letters.
///
/// Everything above a backend (workers, pipelines, the command line) depends on this protocol alone. A backend
/// implements it for its broker; ``Capabilities`` tells what the broker cannot do. All calls have deadlines of the
/// backend's configuration; none blocks for ever. `docs/guarantees.md` states the contract.
public protocol MessageQueue: Sendable {
    /// The backend's name, as in URLs: `memory`, `redis`, ….
    var system: String { get }

    /// Tells what this backend can do, probing the broker on the first call.
    ///
    /// - Returns: The features, limits, version and durability.
    /// - Throws: `QueueError` when the broker cannot be asked.
    func capabilities() async throws(QueueError) -> Capabilities

    /// Creates a queue with its groups, or adds missing groups to it. Idempotent.
    ///
    /// - Parameter definition: The settings. Groups that exist and are not named stay.
    /// - Throws: `QueueError`: `topologyConflict` when the queue or a group exists with other settings, naming both and
    ///   changing nothing; `positionTrimmed` when a group is to begin at a time longer ago than the queue's retention, and
    ///   messages have been removed since the queue was made; `invalidName` and `invalidArgument` as `QueueDefinition.validate()`; `unsupported` for
    ///   settings that the backend cannot keep; `unavailable` when the broker cannot be reached.
    func declare(_ definition: QueueDefinition) async throws(QueueError)

    /// Returns the settings of a queue.
    ///
    /// - Parameter queue: The queue's name.
    /// - Returns: What `declare` created, with all groups; `nil` when there is no such queue.
    /// - Throws: `QueueError` when the broker cannot be asked.
    func definition(of queue: String) async throws(QueueError) -> QueueDefinition?

    /// Lists the queues that were declared.
    ///
    /// - Returns: Their names, sorted.
    /// - Throws: `QueueError` when the broker cannot be asked.
    func queues() async throws(QueueError) -> [String]

    /// Deletes a queue with all it has: messages, groups, schedules, dead letters and the ids it remembers.
    ///
    /// Consumers of it, in any process, hear `topologyLost` or `notFound` on their next call; publishers hear `notFound`.
    /// A queue of the same name can be declared afterwards and begins empty.
    ///
    /// - Parameter queue: The queue's name.
    /// - Returns: Whether there was such a queue.
    /// - Throws: `QueueError`: `unsupported` when this backend cannot, `unavailable` when the broker cannot be reached,
    ///   `indeterminate` when its answer never came: then it can be asked again.
    func deleteQueue(_ queue: String) async throws(QueueError) -> Bool

    /// Publishes messages and returns after the broker's confirmation.
    ///
    /// - Parameters:
    ///   - messages: The messages, in order. One that is refused never fails the others.
    ///   - queue: A declared queue.
    /// - Returns: One outcome per message, in the same order.
    /// - Throws: `QueueError` when nothing was published: `notFound` for a queue that was not declared, `unavailable`
    ///   when the broker could not be reached in time, `closed` after `close()`.
    func publish(_ messages: [Message], to queue: String) async throws(QueueError) -> [PublishOutcome]

    /// Opens a consumer of one group. Nothing is fetched before `receive` asks for it.
    ///
    /// - Parameters:
    ///   - queue: A declared queue.
    ///   - group: A declared group of it.
    ///   - consumer: The consumer's name, unique among those of the group that run at the same time.
    ///   - options: How deliveries are handed over.
    /// - Returns: The consumer; close it when done.
    /// - Throws: `QueueError`: `notFound` for an unknown queue or group, `invalidName`, `unsupported`, `unavailable`.
    func consume(
        _ queue: String,
        group: String,
        consumer: String,
        options: ConsumerOptions
    ) async throws(QueueError) -> any QueueConsumer

    /// Returns the figures of a queue.
    ///
    /// - Parameter queue: A declared queue.
    /// - Returns: The figures, each with its grade.
    /// - Throws: `QueueError`: `notFound` for an unknown queue, `unavailable`.
    func statistics(of queue: String) async throws(QueueError) -> QueueStatistics

    /// Lists dead letters, oldest first, without changing anything.
    ///
    /// - Parameters:
    ///   - queue: A declared queue.
    ///   - filter: Which ones.
    ///   - after: `next` of the page before; `nil` for the first page.
    ///   - limit: The largest number to return, 1 to 1000.
    /// - Returns: A page; it can be empty and still have a `next`.
    /// - Throws: `QueueError`: `notFound` for an unknown queue, `unsupported`, `unavailable`.
    func deadLetters(
        of queue: String,
        matching filter: DeadLetterFilter,
        after: String?,
        limit: Int
    ) async throws(QueueError) -> Page<DeadLetter>

    /// Sends dead letters to their group again, at attempt 1 with their history.
    ///
    /// - Parameters:
    ///   - ids: Ids of dead letters; those that are gone are passed over.
    ///   - queue: The queue.
    /// - Returns: The ids that were sent.
    /// - Throws: `QueueError`: `notFound` for an unknown queue, `unsupported`, `unavailable`, `indeterminate`.
    func redrive(_ ids: [String], of queue: String) async throws(QueueError) -> [String]

    /// Removes dead letters for good.
    ///
    /// - Parameters:
    ///   - ids: Ids of dead letters; those that are gone are passed over.
    ///   - queue: The queue.
    /// - Returns: The ids that were removed.
    /// - Throws: `QueueError`: `notFound` for an unknown queue, `unsupported`, `unavailable`, `indeterminate`.
    func discardDeadLetters(_ ids: [String], of queue: String) async throws(QueueError) -> [String]

    /// Lists published messages whose time has not come, earliest first.
    ///
    /// - Parameters:
    ///   - queue: A declared queue.
    ///   - after: `next` of the page before; `nil` for the first page.
    ///   - limit: The largest number to return, 1 to 1000.
    /// - Returns: A page.
    /// - Throws: `QueueError`: `notFound` for an unknown queue, `unsupported`, `unavailable`.
    func scheduled(of queue: String, after: String?, limit: Int) async throws(QueueError) -> Page<ScheduledMessage>

    /// Cancels published messages whose time has not come.
    ///
    /// - Parameters:
    ///   - ids: The messages; those that are already available are passed over.
    ///   - queue: The queue.
    /// - Returns: The ids that were cancelled.
    /// - Throws: `QueueError`: `notFound` for an unknown queue, `unsupported`, `unavailable`, `indeterminate`.
    func cancelScheduled(_ ids: [MessageID], of queue: String) async throws(QueueError) -> [MessageID]

    /// Closes connections and consumers. Later calls throw `closed`; closing twice is fine.
    func close() async
}

/// How a consumer's deliveries are handed over.
public struct ConsumerOptions: Sendable, Hashable {
    /// Whether a delivery must be settled.
    public enum Mode: Sendable, Hashable {
        /// A delivery that is not settled comes back.
        case atLeastOnce
        /// A delivery is settled the moment it is handed over, and lost when its handler fails.
        case atMostOnce
    }

    /// Whether a delivery must be settled.
    public var mode: Mode

    /// Creates options.
    ///
    /// - Parameter mode: Whether a delivery must be settled; at least once by default.
    public init(mode: Mode = .atLeastOnce) { self.mode = mode }
}

/// What moving a queue to another backend needs beside the contract: to see everything it holds, to take messages out of
/// everybody's reach, and to write messages in with the state that they had elsewhere.
///
/// Ready messages are taken out by consuming them; what no consumer would get for a while (retries that wait, schedules,
/// dead letters) is reserved. A reserved message is neither lost nor delivered, promoted, sent again, cancelled or
/// discarded by others until it is put back or removed. Every call can be repeated after a crash.
public protocol QueueTransfer: Sendable {
    /// What cannot be done here, with the reasons; a backend that does not say has no limits.
    ///
    /// - Returns: The limits.
    /// - Throws: `QueueError`: `unavailable`.
    func limits() async throws(QueueError) -> TransferLimits

    /// Lists what a queue holds in one state, in a stable order, without changing anything.
    ///
    /// - Parameters:
    ///   - queue: A declared queue.
    ///   - state: The state.
    ///   - group: The group whose messages are meant; needed for `ready`, `inFlight` and `waiting`, and ignored
    ///     otherwise.
    ///   - after: `next` of the page before; `nil` for the first page.
    ///   - limit: The largest number to return, 1 to 1000.
    /// - Returns: A page. What changes its state between two pages can be in both or in neither.
    /// - Throws: `QueueError`: `notFound` for an unknown queue or group, `invalidArgument`, `unsupported` for a state
    ///   that this backend cannot list without disturbing it, `unavailable`.
    func stored(
        in queue: String,
        state: StoredMessage.State,
        group: String?,
        after: String?,
        limit: Int
    ) async throws(QueueError) -> Page<StoredMessage>

    /// Closes a queue for publications, or opens it again. Idempotent.
    ///
    /// While it is closed `publish` refuses with `queueClosed`, except that an id which is remembered is still a
    /// duplicate. Everything else goes on: deliveries, retries, schedules that become due, redrives.
    ///
    /// - Parameters:
    ///   - isOpen: Whether the queue takes publications.
    ///   - queue: A declared queue.
    /// - Throws: `QueueError`: `notFound` for an unknown queue, `unavailable`, `indeterminate`.
    func setIntake(isOpen: Bool, of queue: String) async throws(QueueError)

    /// Takes messages out of everybody's reach; idempotent.
    ///
    /// - Parameters:
    ///   - ids: `StoredMessage.id` of messages that were listed as `waiting`, `scheduled` or `dead`.
    ///   - queue: A declared queue.
    /// - Returns: The ids that are reserved now, also those that had been before; the others have left their state.
    /// - Throws: `QueueError`: `notFound` for an unknown queue, `unavailable`, `indeterminate`.
    func reserve(_ ids: [String], of queue: String) async throws(QueueError) -> [String]

    /// Gives reserved messages the state again that they were reserved in; their ids may be others then.
    ///
    /// - Parameters:
    ///   - ids: Ids of reserved messages; those that are not are passed over.
    ///   - queue: A declared queue.
    /// - Returns: The ids that were put back.
    /// - Throws: `QueueError`: `notFound` for an unknown queue, `unavailable`, `indeterminate`.
    func putBack(_ ids: [String], of queue: String) async throws(QueueError) -> [String]

    /// Removes reserved messages for good.
    ///
    /// - Parameters:
    ///   - ids: Ids of reserved messages; those that are not are passed over.
    ///   - queue: A declared queue.
    /// - Returns: The ids that were removed.
    /// - Throws: `QueueError`: `notFound` for an unknown queue, `unavailable`, `indeterminate`.
    func removeReserved(_ ids: [String], of queue: String) async throws(QueueError) -> [String]

    /// Writes messages in with the state that they had elsewhere, whether or not the queue takes publications.
    ///
    /// A message of one group is delivered to that group alone, its attempts and history going on; a schedule goes to
    /// every group when it is due. What was due in the meantime is ready.
    ///
    /// - Parameters:
    ///   - messages: The messages. Their ids are those of the queue they came from, and they make the call repeatable:
    ///     one that was restored before is a duplicate, until `forgetRestored`.
    ///   - queue: A declared queue with the groups that the messages name.
    /// - Returns: One outcome per message, in the same order.
    /// - Throws: `QueueError` when nothing was written: `notFound` for an unknown queue, `unavailable`.
    func restore(_ messages: [StoredMessage], to queue: String) async throws(QueueError) -> [PublishOutcome]

    /// Forgets which messages were restored.
    ///
    /// - Parameter queue: A declared queue.
    /// - Throws: `QueueError`: `notFound` for an unknown queue, `unavailable`, `indeterminate`.
    func forgetRestored(of queue: String) async throws(QueueError)

    /// Lists the ids that the queue remembers to recognise duplicates, in no order.
    ///
    /// - Parameters:
    ///   - queue: A declared queue.
    ///   - after: `next` of the page before; `nil` for the first page.
    ///   - limit: About how many to return, 1 to 1000.
    /// - Returns: A page; it can be empty and still have a `next`, and an id can come twice.
    /// - Throws: `QueueError`: `notFound` for an unknown queue, `invalidArgument`, `unsupported`, `unavailable`.
    func rememberedIDs(of queue: String, after: String?, limit: Int) async throws(QueueError) -> Page<RememberedID>

    /// Makes the queue remember ids that were published elsewhere; those it remembers already stay as they are.
    ///
    /// - Parameters:
    ///   - ids: The ids.
    ///   - queue: A declared queue.
    /// - Throws: `QueueError`: `notFound` for an unknown queue, `unsupported`, `unavailable`.
    func remember(_ ids: [RememberedID], of queue: String) async throws(QueueError)
}

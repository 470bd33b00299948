#if RabbitMQ
import Logging
import Messaging
import Synchronization

/// Does for a consumer of a keyed queue what takes time, in tasks of its own: notes, and copies of what nobody gets.
final class LaneHelper: Sendable {
    typealias Job = @Sendable (LaneRole) -> Void

    private let context: LaneContext
    private let publisher: Publisher
    private let administration: Administration
    private let logger: Logger
    private let thread = Mutex<ConnectionThread<LaneRole>?>(nil)

    init(_ context: LaneContext, _ publisher: Publisher, _ administration: Administration, logger: Logger) {
        self.context = context
        self.publisher = publisher
        self.administration = administration
        self.logger = logger
    }

    func attach(_ thread: ConnectionThread<LaneRole>) { self.thread.withLock { $0 = thread } }

    /// Lets go of the consumer that it belongs to.
    func detach() { thread.withLock { $0 = nil } }

    private func submit(_ job: @escaping Job) { thread.withLock { $0 }?.submit(job) }

    // MARK: - Copies

    /// Writes a copy until it is confirmed or the consumer is closed.
    func move(_ copy: OutgoingMessage, _ then: @escaping Job) {
        Task {
            let isMoved: Bool? = await repeatedly("a message could not be moved; trying again") {
                (try? await publisher.publish([copy]))?.first?.isConfirmed == true ? true : nil
            }
            if isMoved == true { submit(then) }
        }
    }

    // MARK: - Notes

    /// Writes notes, once: without one an attempt more is counted.
    func write(_ notes: [LaneNote], _ then: @escaping @Sendable (LaneRole, _ isWritten: Bool) -> Void) {
        let copies = notes.map { $0.message(queue: context.queue, group: context.group) }
        Task {
            let outcomes = try? await publisher.publish(copies)
            let isWritten = outcomes?.allSatisfy(\.isConfirmed) == true
            submit { then($0, isWritten) }
        }
    }

    /// Reads all notes of the group, until it is done or the consumer is closed.
    func check(_ then: @escaping @Sendable (LaneRole, [String: LaneNote]) -> Void) {
        Task {
            let found: [String: LaneNote]? = await repeatedly("the notes of a lane could not be read; trying again") {
                try? await self.notes()
            }
            if let found { submit { then($0, found) } }
        }
    }

    private func notes() async throws(QueueError) -> [String: LaneNote] {
        let source = RabbitNames.notes(context.queue, context.group)
        return try await administration.run(context.queue) { (channel) throws(QueueError) in
            let walk = Walk(channel: channel, queue: source)
            var notes: [String: LaneNote] = [:]
            try walk.forEach { (message) throws(QueueError) in
                guard let note = LaneNote(message) else { return }
                if notes[note.id].map({ note.isLater(than: $0) }) ?? true { notes[note.id] = note }
            }
            try walk.end()
            return notes
        }
    }

    /// Removes notes about messages that are finished, once.
    func forget(_ ids: [String], _ then: @escaping Job = { _ in }) {
        Task {
            await remove(ids)
            submit(then)
        }
    }

    func remove(_ ids: [String]) async {
        if ids.isEmpty { return }
        let (ids, source) = (Set(ids), RabbitNames.notes(context.queue, context.group))
        do throws(QueueError) {
            try await administration.run(context.queue) { (channel) throws(QueueError) in
                let walk = Walk(channel: channel, queue: source)
                var tags: [UInt64] = []
                try walk.forEach { (message) throws(QueueError) in
                    if let note = LaneNote(message), ids.contains(note.id) { tags.append(message.tag) }
                }
                try walk.remove(tags)
                try walk.end()
            }
        } catch {
            // They are about messages that are gone, and in nobody's way.
            logger.debug("old notes stay", metadata: [LogKeys.error: "\(error)"])
        }
    }

    /// Tries something again and again, with pauses.
    ///
    /// - Returns: The result; `nil` when the consumer is closed.
    private func repeatedly<Value>(_ warning: String, _ attempt: () async -> Value?) async -> Value? {
        var failures = 0
        while !context.isClosed {
            if let value = await attempt() { return value }
            failures += 1
            if failures == 1 { logger.warning("\(warning)") }
            try? await Task.sleep(for: min(.milliseconds(100) * (1 << min(failures, 6)), .seconds(5)))
        }
        return nil
    }
}
#endif

import BrokerSupport
import Foundation
import Messaging

/// What is at a place, and what should be.
extension MigrationPlace {
    /// Everything that a side holds and can list.
    ///
    /// - Parameters:
    ///   - url: The side.
    ///   - takingReady: Whether what is ready and cannot be listed is consumed to see it.
    /// - Returns: What there is.
    /// - Throws: When the side cannot be asked.
    func contents(_ url: String, takingReady: Bool = true) async throws -> [Trace] {
        let queue = try open(url)
        guard let transfer = queue.transfer, let groups = try await definition(queue)?.groups.map(\.name) else {
            await queue.close()
            return []
        }
        var found: [Trace] = []
        let unlisted = try await transfer.limits().unlisted
        let ofGroups = [StoredMessage.State.ready, .inFlight, .waiting].flatMap { state in
            groups.map { (state, $0 as String?) }
        }
        for (state, group) in ofGroups + [(.scheduled, nil), (.dead, nil), (.reserved, nil)]
        where unlisted[state] == nil {
            var cursor: String?
            repeat {
                let page = try await transfer.stored(
                    in: Self.name,
                    state: state,
                    group: group,
                    after: cursor,
                    limit: 500
                )
                found += page.elements.map { Trace($0) }
                cursor = page.next
            } while cursor != nil
        }
        if takingReady, unlisted[.ready] != nil {
            for group in groups { found += try await takeReady(group, queue, isRabbitMQ: url.hasPrefix("amqp:")) }
        }
        found += try await hiddenCopies(url, queue, found)
        await queue.close()
        return found
    }

    /// Consumes what is ready, until neither the broker nor the consumer has anything left.
    private func takeReady(_ group: String, _ queue: any MessageQueue, isRabbitMQ: Bool) async throws -> [Trace] {
        var found: [Trace] = []
        let consumer = try await queue.consume(Self.name, group: group, consumer: "looker")
        let deadline = ContinuousClock.now + .seconds(30)
        // Two looks in a row: what was sent while the machine stood still comes just after the first.
        var emptyLooks = 0
        while true {
            let deliveries = try await consumer.receive(max: 500, wait: .milliseconds(200))
            emptyLooks = deliveries.isEmpty ? emptyLooks + 1 : 0
            if emptyLooks >= 2 {
                let figures = try await queue.statistics(of: Self.name)[group]
                let left =
                    isRabbitMQ ? [figures?.ready.value, figures?.inFlight.value] : [figures?.ready.value ?? 0]
                if left.allSatisfy({ $0 == 0 }) || ContinuousClock.now >= deadline { break }
            }
            if deliveries.isEmpty { continue }
            let outcomes = try await consumer.settle(deliveries.map { SettleRequest($0.receipt, .acknowledge) })
            for (delivery, outcome) in zip(deliveries, outcomes) {
                // On a machine that stands still for longer than the lease, the message comes again.
                if outcome.error?.code == .leaseLost { continue }
                if let error = outcome.error { throw error }
                found.append(Trace(delivery))
            }
        }
        await consumer.close()
        return found
    }

    /// Further copies of what a listing of RabbitMQ shows once.
    private func hiddenCopies(_ url: String, _ queue: any MessageQueue, _ found: [Trace]) async throws -> [Trace] {
        guard url.hasPrefix("amqp:"), let rabbitMQ else { return [] }
        let management = try Management(rabbitMQ.url)
        var later = 0
        for level in Self.levels { later += try await management.count(level) }
        let dead = try await queue.statistics(of: Self.name).groups.reduce(0) { $0 + ($1.dead.value ?? 0) }
        let listed = { (states: Set<StoredMessage.State>) in found.filter { states.contains($0.state) } }
        let hidden = [(later, listed([.waiting, .scheduled])), (dead, listed([.dead]))]
        return hidden.flatMap { count, listed in listed.prefix(max(0, count - listed.count)) }
    }

    /// The settings of the queue; none where there is not even a file.
    private func definition(_ queue: any MessageQueue) async throws(QueueError) -> QueueDefinition? {
        do throws(QueueError) {
            return try await queue.definition(of: Self.name)
        } catch {
            guard error.code == .notFound else { throw error }
            return nil
        }
    }

    /// What is wrong with what is at a place if it should be what was there before, and how many are there twice.
    ///
    /// - Parameters:
    ///   - before: What was there before.
    ///   - url: The place; nothing may be left at any other one.
    ///   - allowsHeld: Whether what was ready may be in the hands of somebody who was killed, until its lease is over.
    ///   - uncertain: Ids of messages that may be there in any state or not at all.
    /// - Returns: What is wrong in words, and the number of duplicates.
    /// - Throws: When a side cannot be asked.
    func problems(
        _ before: Set<Trace>,
        at url: String,
        allowsHeld: Bool = false,
        except uncertain: Set<String> = []
    ) async throws -> (problems: [String], doubled: Int) {
        var problems: [String] = []
        for other in Set(urls).subtracting([url]) {
            let left = try await contents(other)
            if !left.isEmpty { problems.append("\(left.count) left behind on \(other): \(left.prefix(3))") }
        }
        let places = Dictionary(grouping: try await contents(url), by: \.place)
        var doubled = 0
        for trace in before where !uncertain.contains(trace.id) {
            guard let found = places[trace.place], let one = found.first else {
                problems.append("missing: \(trace)")
                continue
            }
            doubled += found.count - 1
            let isHeld = allowsHeld && trace.state == .ready && one.state == .inFlight
            if one.state != trace.state && !isHeld { problems.append("\(trace) is \(one)") }
            for copy in found where copy.content != trace.content { problems.append("\(trace) is \(copy)") }
            if one.attempts < trace.attempts || one.failures < trace.failures { problems.append("\(trace) is \(one)") }
            let earliest = found.map { $0.due ?? .distantPast }.min()
            if let due = trace.due, let earliest, earliest < due.addingTimeInterval(-0.01) {
                problems.append("too early: \(trace)")
            }
        }
        let known = Set(before.map(\.place))
        for (place, found) in places where !known.contains(place) {
            if !found.contains(where: { uncertain.contains($0.id) }) { problems.append("extra: \(place)") }
        }
        return (problems, doubled)
    }
}

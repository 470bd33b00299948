#if SQLite
import Foundation
import Messaging
import MessagingMigration
import Synchronization

/// Measures how fast ready messages are carried over, beside publishing as many of the same size to each side, as many at a
/// time as the mover has on its way.
enum MoveRateChild {
    private static let name = "rate"
    private static let size = 512
    private static let batch = 64

    static func run(from source: MigrationSide, to target: MigrationSide, journal: String, count: Int) async throws {
        let definition = QueueDefinition(name, groups: [GroupDefinition("workers", lease: .seconds(60))])
        var probe = definition
        probe.name = "plain"
        for side in [source, target] {
            try await side.queue.declare(probe)
            try await measure("publish to \(side.queue.system)", count) {
                try await publish(count, to: probe.name, side.queue)
            }
            _ = try await side.queue.deleteQueue(probe.name)
        }
        try await source.queue.declare(definition)
        try await publish(count, to: name, source.queue)
        // From the beginning of draining until the last page has gone over: what the gates wait for is no work.
        let times = Mutex<(begun: Moment?, ended: Moment?)>((nil, nil))
        var losses = try await Surveyor(from: source, to: target).plan(name, mode: .bridge).losses.map(\.name)
        losses.append("durability")
        let migrator = Migrator(
            journal: try MigrationJournal(path: journal),
            from: source,
            to: target,
            options: MigrationOptions(
                mode: .bridge,
                acceptedLosses: Set(losses),
                lease: .milliseconds(100),
                sendsCanary: false
            ),
            report: { progress in
                switch progress {
                case .step(let migration) where migration.state == .draining: times.withLock { $0.begun = .now }
                case .moved: times.withLock { $0.ended = .now }
                case .step, .waiting: break
                }
            }
        )
        _ = try await migrator.apply(name)
        _ = try await migrator.finish(name)
        if let begun = times.withLock({ $0.begun }), let ended = times.withLock({ $0.ended }) {
            tell("move \(source.queue.system) to \(target.queue.system)", count, begun, ended)
        }
        for side in [source, target] {
            _ = try await side.queue.deleteQueue(name)
            await side.queue.close()
        }
    }

    private static func publish(_ count: Int, to name: String, _ queue: any MessageQueue) async throws {
        var left = count
        while left > 0 {
            let messages = (0..<min(batch, left)).map { _ in Message(body: [UInt8](repeating: 120, count: size)) }
            for outcome in try await queue.publish(messages, to: name) { if let error = outcome.error { throw error } }
            left -= messages.count
        }
    }

    /// A point in time, with the processor time of this process until then.
    private struct Moment {
        var time: ContinuousClock.Instant
        var processor: Double

        static var now: Moment {
            var used = timespec()
            clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &used)
            return Moment(time: .now, processor: Double(used.tv_sec) + Double(used.tv_nsec) / 1e9)
        }
    }

    private static func measure(_ what: String, _ count: Int, _ body: () async throws -> Void) async throws {
        let begun = Moment.now
        try await body()
        tell(what, count, begun, .now)
    }

    private static func tell(_ what: String, _ count: Int, _ begun: Moment, _ ended: Moment) {
        let rate = Int(Double(count) / ((ended.time - begun.time) / .seconds(1)))
        let each = Int((ended.processor - begun.processor) / Double(count) * 1e6)
        QueueChild.say("{\"step\":\"\(what)\",\"messages\":\(count),\"rate\":\(rate),\"cpu_us_each\":\(each)}")
    }
}
#endif

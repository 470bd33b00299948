import ArgumentParser
import Messaging

#if canImport(FoundationEssentials)
import FoundationEssentials
#else
import Foundation
#endif

/// Prints messages of a group, and acknowledges what has been printed.
struct ConsumeCommand: GlobalCommand {
    static let configuration = CommandConfiguration(
        commandName: "consume",
        abstract: "Print messages of a group and acknowledge them.",
        discussion: """
            Prints one message per line: the body, or with --json an object with id, attempt, headers, key and body \
            (body_base64 when it is not UTF-8). A message is acknowledged after its line has been written. It ends when \
            --count messages were printed or when none came within --wait. Ctrl-C gives back what was not printed.

            EXAMPLES:
              mq consume orders --group billing --count 10
              mq consume orders --group billing --no-ack --json
              mq consume orders --group audit --create --follow --json >> audit.jsonl
              mq consume orders --group billing --follow | head -1

            EXIT CODES:
              0 done, also when stopped by Ctrl-C or when the reader of stdout has gone, 1 failed, 3 a message was printed \
            and could not be acknowledged, 4 there is no such queue or group, 6 broker unreachable, 64 bad usage.
            """
    )

    @OptionGroup var global: GlobalOptions

    @Argument(help: "The queue.", completion: .queues)
    var queue: String

    @Option(name: .shortAndLong, help: ArgumentHelp("The group to consume for.", valueName: "group"))
    var group: String

    @Option(help: ArgumentHelp("This consumer's name, unique in the group; by default one is made.", valueName: "name"))
    var consumer: String?

    @Option(name: [.customShort("n"), .long], help: ArgumentHelp("End after this many messages.", valueName: "number"))
    var count: Int?

    @Option(
        help: ArgumentHelp("End when no message came for this time.", valueName: "duration"),
        transform: DurationArgument.parse
    )
    var wait: Duration = .seconds(10)

    @Flag(help: "Wait for ever; only --count and Ctrl-C end it.")
    var follow = false

    @Flag(
        inversion: .prefixedNo,
        help: "Acknowledge what was printed, or give it back at the end; --no-ack shows at most 1000 messages."
    )
    var ack = true

    @Flag(help: "Create the queue and the group if they are not there; a new group begins at the oldest message.")
    var create = false

    func validate() throws {
        if let count, count < 1 { throw ValidationError("--count must be at least 1") }
        if !ack, let count, count > ConsumeSession.maxHeld {
            throw ValidationError("--no-ack holds at most \(ConsumeSession.maxHeld) messages; lower --count")
        }
        try Arguments.check(queue: queue)
        try Arguments.check(group: group, queue: queue)
        if let consumer { try Arguments.check(consumer: consumer, queue: queue) }
    }

    func run() async throws {
        try await Interrupt.cancelling {
            try await ClosedOutputWatch.cancelling { try await consume() }
        }
    }

    private func consume() async throws {
        try await global.withQueue(creates: create) { backend in
            if backend.isEphemeral { global.output.note(OpenBackend.ephemeralNote) }
            if create, let made = try await Topology.ensure(queue, groups: [group], on: backend.queue) {
                global.output.note("created \(made)")
            }
            let name = consumer ?? "mq-\(ProcessInfo.processInfo.processIdentifier)"
            let member = try await backend.queue.consume(queue, group: group, consumer: name)
            let session = ConsumeSession(
                member: member,
                output: global.output,
                limit: count ?? (ack ? .max : ConsumeSession.maxHeld),
                wait: follow ? nil : wait,
                acknowledges: ack
            )
            do {
                let lost = try await session.run()
                await member.close()
                if lost > 0 { throw end(.partly) }
            } catch {
                await member.close()
                throw error
            }
        }
    }
}

/// Receives, prints and settles until there is a reason to stop.
struct ConsumeSession: Sendable {
    /// The most messages that are held to be given back at the end.
    static let maxHeld = 1000

    let member: any QueueConsumer
    let output: Output
    let limit: Int
    /// `nil` means for ever.
    let wait: Duration?
    let acknowledges: Bool

    /// Runs until the limit, an empty queue or a signal.
    ///
    /// - Returns: How many messages were printed and could not be acknowledged.
    func run() async throws -> Int {
        var printed = 0
        var lost = 0
        var held: [Receipt] = []
        var failure: (any Error)?
        var idleSince = ContinuousClock.now
        var unsettled: (any Error)?
        while printed < limit, failure == nil, unsettled == nil {
            let batch: [Delivery]
            do {
                batch = try await member.receive(max: min(limit - printed, 100), wait: slice(since: idleSince))
                // Where it does not work, leases run out early and the messages are with others: nothing is lost.
                if !held.isEmpty { _ = try? await member.renew(held) }
            } catch let error where error.code == .cancelled {
                break
            } catch {
                failure = error
                break
            }
            if batch.isEmpty {
                if let wait, idleSince.duration(to: .now) >= wait { break }
                continue
            }
            var done = 0
            do {
                for delivery in batch {
                    if Task.isCancelled { break }
                    try output.line(line(delivery))
                    done += 1
                }
            } catch {
                failure = error
            }
            printed += done
            let receipts = batch.map(\.receipt)
            if acknowledges {
                do {
                    lost += try await settle(receipts.prefix(done), .acknowledge)
                } catch {
                    // They were printed: that they come again is more than that this failed.
                    lost += done
                    unsettled = error
                }
            } else {
                held += receipts.prefix(done)
            }
            if unsettled == nil {
                _ = try await settle(receipts.dropFirst(done), .release)
            } else {
                // Leases give back what cannot be given back now.
                _ = try? await settle(receipts.dropFirst(done), .release)
            }
            if Task.isCancelled { break }
            idleSince = .now
        }
        _ = try await settle(held[...], .release)
        if let failure, lost == 0 { throw failure }
        if printed == 0 || printed > lost { output.note(summary(printed - lost)) }
        if let problem = unsettled ?? failure, case .status(_, let text?) = CLIErrors.ending(problem) {
            output.error(text)
        }
        if lost > 0 {
            output.error("\(Format.count(lost, "message")) printed but not acknowledged; expect to see it again")
        }
        return lost
    }

    /// How long the next receive waits: what is left of the wait, cut so that held leases are renewed in time.
    private func slice(since start: ContinuousClock.Instant) -> Duration {
        let left = wait.map { max(.zero, $0 - start.duration(to: .now)) } ?? .seconds(60)
        return acknowledges ? left : min(left, member.lease / 3)
    }

    /// Settles, also after a signal; returns how many had been lost.
    private func settle(_ receipts: ArraySlice<Receipt>, _ settlement: Settlement) async throws -> Int {
        guard !receipts.isEmpty else { return 0 }
        let requests = receipts.map { SettleRequest($0, settlement) }
        let member = member
        let outcomes = try await Interrupt.shielded { try await member.settle(requests) }
        return outcomes.count { $0.error != nil }
    }

    private func summary(_ printed: Int) -> String {
        let place = "of '\(member.queue)' for group '\(member.group)'"
        guard printed > 0 else { return "no message \(place)" }
        return "\(Format.count(printed, "message")) \(place), \(acknowledges ? "acknowledged" : "given back")"
    }

    private func line(_ delivery: Delivery) -> [UInt8] {
        if output.isJSON { return MessageJSON.delivery(delivery).bytes }
        // Bytes of strangers must not drive a person's terminal.
        guard output.terminal.isTerminal else { return delivery.message.body }
        return Array(Redacted.line(String(decoding: delivery.message.body, as: UTF8.self)).utf8)
    }
}

/// Messages as JSON.
enum MessageJSON {
    static func delivery(_ delivery: Delivery) -> JSON {
        .object(
            [
                ("id", .string(delivery.message.id.rawValue)), ("queue", .string(delivery.queue)),
                ("group", .string(delivery.group)), ("attempt", .integer(delivery.attempt)),
                ("redrives", .integer(delivery.redrives)),
                ("published_at", JSON(delivery.publishedAt.map(Format.date))),
            ] + content(delivery.message)
        )
    }

    /// Key, headers, content type and body.
    static func content(_ message: Message) -> [(String, JSON)] {
        [
            ("key", JSON(message.key)), ("content_type", JSON(message.contentType)),
            ("headers", .object(message.headers.map { ($0.name, header($0)) })), body(message),
        ]
    }

    static func failure(_ failure: Failure) -> JSON {
        [
            "attempt": .integer(failure.attempt), "at": .string(Format.date(UnixTime.date(failure.at))),
            "consumer": .string(failure.consumer), "error": .string(failure.error),
        ]
    }

    private static func header(_ header: MessageHeaders.Header) -> JSON {
        header.text.map { .string($0) } ?? ["base64": .string(Format.base64(header.value))]
    }

    private static func body(_ message: Message) -> (String, JSON) {
        message.text.map { ("body", .string($0)) } ?? ("body_base64", .string(Format.base64(message.body)))
    }
}

import Foundation
import Messaging
import MessagingMemory

@testable import MessagingSQLite

/// What both queues show, as text that must be the same.
extension TwinQueues {
    func compareFigures() async throws {
        let (model, real) = try await (models[0].statistics(of: name), reals[0].statistics(of: name))
        try expectSame(figures(model), figures(real), "figures")
    }

    func figures(_ figures: QueueStatistics) -> [String] {
        let all = figures.groups.map { group in
            // How many consumers there are is an estimate of the file.
            let age = isPlain ? group.oldestAge?.milliseconds : nil
            return "\(group.group): ready \(group.ready.value ?? -1), in flight \(group.inFlight.value ?? -1), "
                + "delayed \(group.delayed.value ?? -1), dead \(group.dead.value ?? -1), age \(age ?? -1)"
        }
        return all + ["scheduled \(figures.scheduled.value ?? -1)"]
    }

    func compareListings() async throws {
        try await look()
        // What is known to have failed for good is still stored until somebody looks.
        let figures = try await (models[0].statistics(of: name), reals[0].statistics(of: name))
        try expectSame(["\(figures.0.stored)"], ["\(figures.1.stored)"], "stored")
        let letters = try await (letters(models[0]), letters(reals[0]))
        try expectSame(letters.0.map(Self.text), letters.1.map(Self.text), "dead letters")
        let scheduled = try await (scheduled(models[0]), scheduled(reals[1]))
        try expectSame(scheduled.0, scheduled.1, "scheduled messages")
    }

    func scheduled(_ queue: any MessageQueue) async throws -> [String] {
        var all: [String] = []
        var next: String?
        for _ in 0..<10_000 {
            let page = try await queue.scheduled(of: name, after: next, limit: 2)
            all += page.elements.map { Self.text($0.message) }
            next = page.next
            if next == nil { break }
        }
        return all
    }

    func expectSame(_ model: [String], _ real: [String], _ what: String) throws {
        guard model != real else { return }
        let onlyModel = model.filter { !real.contains($0) }
        let onlyReal = real.filter { !model.contains($0) }
        throw Difference(
            description:
                "\(what): \(model.count) in memory, \(real.count) in the file\n  only in memory: \(onlyModel)\n"
                + "  only in the file: \(onlyReal)\n  in memory: \(model.map { $0.prefix(60) })\n  in the file: \(real.map { $0.prefix(60) })"
        )
    }

    static func text(_ outcome: PublishOutcome) -> String {
        switch outcome {
        case .accepted: "accepted"
        case .duplicate: "duplicate"
        case .refused(let error): "refused \(error.code)"
        case .indeterminate: "indeterminate"
        }
    }

    static func text(_ message: Message) -> String {
        let headers = message.headers.map { "\($0.name)=\($0.value)" }
        let due: String =
            switch message.due {
            case nil: "-"
            // The file rounds up.
            case .at(let date)?: "\(Int64((date.timeIntervalSince1970 * 1000 - 0.001).rounded(.up)))"
            case .after(let delay)?: "after \(delay)"
            }
        return "\(message.id) '\(message.text ?? "?")' key \(message.key ?? "-") \(headers) due \(due)"
    }

    static func text(_ history: [Failure]) -> String {
        history.map { "\($0.attempt) \($0.consumer): \($0.error)" }.joined(separator: ", ")
    }

    static func text(_ delivery: Delivery) -> String {
        "\(text(delivery.message)) attempt \(delivery.attempt) redrives \(delivery.redrives) at "
            + "\(delivery.publishedAt.map(UnixTime.milliseconds) ?? -1) history [\(text(delivery.history))]"
    }

    static func text(_ letter: DeadLetter) -> String {
        "\(letter.group ?? "-") \(letter.reason) \(letter.error ?? "-") attempts \(letter.attempts) at "
            + "\(letter.publishedAt.map(UnixTime.milliseconds) ?? -1) [\(text(letter.history))] \(text(letter.message))"
    }
}

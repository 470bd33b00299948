import BrokerSupport
import Foundation
import Logging
import Messaging
import MessagingPipeline
import MessagingRedis
import TestSupport

@testable import mq

/// The pipeline in processes of its own on a backend of its own, with what can be seen of it from outside.
struct PipelineHarness {
    let place: Place
    let input: URL
    let expected: [StoredStatement]
    static let leaseArguments = ["--lease", "1s"]

    /// Makes the place and writes an input of so many statements, among them exact and near duplicates.
    init(_ kind: Place.Kind, statements: Int) async throws {
        place = try kind.make()
        let folder = FileManager.default.temporaryDirectory.appending(path: "mq-input-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        input = folder.appending(path: "statements.csv")
        let text = Self.csv(statements)
        try text.write(to: input, atomically: true, encoding: .utf8)
        expected = try await Self.undisturbed(text)
    }

    func remove() { try? FileManager.default.removeItem(at: input.deletingLastPathComponent()) }

    /// Every fifth statement repeats an earlier one under another id, every seventh nearly so.
    static func csv(_ count: Int) -> String {
        var generator = SeededGenerator(seed: 11)
        let syllables = ["ba", "ko", "ri", "mel", "tan", "su", "vor", "en", "li", "quo", "dar", "fim"]
        var lines = ["id,created_at,text"]
        var texts: [String] = []
        for index in 0..<count {
            var text: String
            if index % 5 == 4, let earlier = texts.randomElement(using: &generator) {
                text = earlier
            } else if index % 7 == 6, let earlier = texts.randomElement(using: &generator) {
                text = "RT @observer: \(earlier)"
            } else {
                // Invented words: no two of these sentences are near each other by chance.
                text = (0..<12).map { _ in
                    (0..<3).map { _ in syllables.randomElement(using: &generator) ?? "" }.joined()
                }.joined(separator: " ")
            }
            texts.append(text)
            let minute = String(index % 60)
            let hour = String(index / 60 % 24)
            lines.append("s\(index),2026-03-\(10 + index / 1440)T\(pad(hour)):\(pad(minute)):00Z,\"\(text)\"")
        }
        return lines.joined(separator: "\r\n") + "\r\n"
    }

    private static func pad(_ text: String) -> String { text.count < 2 ? "0\(text)" : text }

    /// What the pure parts make of the input, one statement after the other, without any queue.
    private static func undisturbed(_ text: String) async throws -> [StoredStatement] {
        var parser = StatementParser(format: .csv, source: "statements.csv")
        let results = parser.feed(Array(text.utf8)) + parser.finish()
        let (fingerprints, statements) = (MemoryDeduplicationStore(), MemoryStatementStore())
        let analyzer = LexiconAnalyzer()
        for case .statement(let statement) in results {
            let analysed = AnalysedStatement(statement: statement, analysis: analyzer.analyse(statement))
            let fingerprint = Fingerprint(analysed)
            let verdict = Deduplicator.judge(fingerprint, against: try await fingerprints.insert(fingerprint))
            _ = try await statements.apply(JudgedStatement(analysed: analysed, verdict: verdict))
        }
        return try await all(statements)
    }

    /// Everything that a store holds, duplicates too.
    static func all(_ store: any StatementStore) async throws -> [StoredStatement] {
        var items: [StoredStatement] = []
        var cursor: String?
        repeat {
            let page = try await store.list(StatementQuery(limit: 200, cursor: cursor, includesDuplicates: true))
            items += page.items
            cursor = page.nextCursor
        } while cursor != nil
        return items
    }

    /// What the processes have come to.
    func result() async throws -> [StoredStatement] {
        let (queue, stores) = try place.open()
        do {
            let items = try await Self.all(stores.statements)
            await queue.close()
            return items
        } catch {
            await queue.close()
            throw error
        }
    }

    /// Starts the process of one layer.
    func start(_ layer: Layer, number: Int = 0) throws -> MQProcess {
        var arguments = ["pipeline", "run", "--backend", place.url, "--layer", layer.rawValue] + Self.leaseArguments
        if layer == .collect {
            arguments += ["--input", input.path, "--until-idle"]
        } else {
            arguments += ["--workers", "2", "--worker-prefix", "worker-\(number)-"]
        }
        return try MQProcess(arguments, environment: place.environment)
    }

    /// Whether every queue exists and has nothing left, in the order in which messages pass them.
    ///
    /// Figures that are estimates are some moments old, so they must say so three times.
    func isIdle(_ queue: any MessageQueue) async -> Bool {
        guard await looksIdle(queue) else { return false }
        guard case .rabbitmq = place else { return true }
        for _ in 0..<2 {
            try? await Task.sleep(for: .seconds(1))
            guard await looksIdle(queue) else { return false }
        }
        return true
    }

    private func looksIdle(_ queue: any MessageQueue) async -> Bool {
        for layer in Layer.workers {
            guard let name = layer.queue, let group = layer.group,
                let figures = try? await queue.statistics(of: name)[group], figures.lag.value == 0
            else { return false }
        }
        return true
    }
}

import Messaging

/// What the layers do with a message: decode it, add their part, pass it on.
///
/// A message that cannot be decoded goes to the dead letters at once; trying again would not change it.
struct LayerHandlers: Sendable {
    let analyzer: any Analyzer
    let deduplication: any DeduplicationStore
    let statements: any StatementStore

    /// The handler of a layer.
    func handler(_ layer: Layer, _ downstream: Downstream?) -> Worker.Handler? {
        switch (layer, downstream) {
        case (.analysis, let downstream?): { try await analyse($0, downstream) }
        case (.deduplication, let downstream?): { try await deduplicate($0, downstream) }
        case (.api, _): { try await store($0) }
        default: nil
        }
    }

    private func analyse(_ delivery: Delivery, _ downstream: Downstream) async throws {
        let statement = try Self.statement(delivery.message)
        let analysis = try await analyzer.analyse(statement)
        try await downstream.publish(AnalysedStatement(statement: statement, analysis: analysis), after: delivery)
    }

    private func deduplicate(_ delivery: Delivery, _ downstream: Downstream) async throws {
        let analysed = try Self.decode(AnalysedStatement.self, delivery.message)
        let fingerprint = Fingerprint(analysed)
        // A redelivery may get another verdict than before. Either is right, whichever reaches the next layer.
        let candidates = try await deduplication.insert(fingerprint)
        let verdict = Deduplicator.judge(fingerprint, against: candidates)
        try await downstream.publish(JudgedStatement(analysed: analysed, verdict: verdict), after: delivery)
    }

    private func store(_ delivery: Delivery) async throws {
        try await statements.apply(try Self.decode(JudgedStatement.self, delivery.message))
    }

    /// Reads a statement from a message of the collector, or of any other program that writes JSON of the names that
    /// ``StatementParser`` knows.
    private static func statement(_ message: Message) throws -> Statement {
        if let statement = try? PipelineJSON.decode(Statement.self, from: message.body),
            statement.text.contains(where: { !$0.isWhitespace })
        {
            return statement
        }
        var parser = StatementParser(format: .jsonArray, source: nil)
        var results = parser.feed([UInt8(ascii: "[")] + message.body + [UInt8(ascii: "]")])
        results += parser.finish()
        switch results.first {
        case .statement(let statement)?: return statement
        case .malformed(let record)?:
            throw RejectMessage("the body is no statement: \(record.reason)", reason: .undecodable)
        case nil: throw RejectMessage("the body is no statement: it is empty", reason: .undecodable)
        }
    }

    private static func decode<Value: Decodable>(_ type: Value.Type, _ message: Message) throws -> Value {
        do {
            return try PipelineJSON.decode(type, from: message.body)
        } catch {
            throw RejectMessage("the body is no \(type): \(describe(error))", reason: .undecodable)
        }
    }

    /// A decoding error in one short line.
    private static func describe(_ error: any Error) -> String {
        switch error {
        case DecodingError.keyNotFound(let key, _): "'\(key.stringValue)' is missing"
        case DecodingError.typeMismatch(_, let context), DecodingError.valueNotFound(_, let context):
            "'\(context.codingPath.map(\.stringValue).joined(separator: "."))' has another type"
        default: "it is not the JSON that this layer expects"
        }
    }
}

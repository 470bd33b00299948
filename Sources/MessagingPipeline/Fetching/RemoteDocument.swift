import Foundation

/// What an answer of a source holds.
struct RemoteDocument: Equatable {
    /// What became of its entries or records, in order.
    var results: [ReadResult] = []
    /// Why nothing in it could be used.
    var failure: String?
    /// Whether it was read to its end, so that it need not be fetched again.
    var isComplete = true

    /// Reads an answer.
    ///
    /// - Parameters:
    ///   - bytes: The body, decompressed.
    ///   - contentType: The `Content-Type`.
    ///   - source: Where it comes from.
    /// - Returns: What it holds.
    static func read(_ bytes: [UInt8], contentType: String?, source: RemoteSource) -> RemoteDocument {
        let type = ContentType(contentType)
        let text = CharsetDecoder.utf8(bytes, transport: type.charset)
        let first = text.first { !JSONArrayParser.isWhitespace($0) && $0 != 0 }
        var document: RemoteDocument
        switch kind(source.format, first, type, text) {
        case .feed:
            document = feed(text, source) { bytes throws(FeedParser.Unusable) in
                try FeedParser.parse(bytes, address: source.address)
            }
        case .json where first == UInt8(ascii: "["): document = records(text, .jsonArray, source)
        case .json: document = jsonObject(text, source)
        case .jsonLines: document = records(text, .jsonLines, source)
        case .csv: document = records(text, .csv, source)
        case .automatic: document = RemoteDocument()
        }
        document.noteIfUseless()
        return document
    }

    /// The format of an answer, by its first character where the source leaves it open.
    private static func kind(
        _ format: RemoteSource.Format,
        _ first: UInt8?,
        _ type: ContentType,
        _ text: [UInt8]
    ) -> RemoteSource.Format {
        guard format == .automatic else { return format }
        switch first {
        case nil: return type.isFeed ? .feed : .automatic
        case UInt8(ascii: "<"): return .feed
        case UInt8(ascii: "["), UInt8(ascii: "{"): return .json
        default: return type.isFeed || beginsLate(text) ? .feed : .csv
        }
    }

    /// Whether a feed begins behind something else, such as a warning of the server's own program.
    private static func beginsLate(_ text: [UInt8]) -> Bool {
        let head = String(decoding: text.prefix(2048), as: UTF8.self)
        return ["<?xml ", "<rss ", "<feed "].contains { head.contains($0) }
    }

    private static func feed(
        _ text: [UInt8],
        _ source: RemoteSource,
        _ parse: ([UInt8]) throws(FeedParser.Unusable) -> FeedDocument
    ) -> RemoteDocument {
        do throws(FeedParser.Unusable) {
            let feed = try parse(text)
            return RemoteDocument(
                results: FeedStatements.read(feed, source: source.name, identity: source.identity),
                isComplete: feed.brokenAt == nil
            )
        } catch {
            return RemoteDocument(failure: error.reason, isComplete: false)
        }
    }

    /// A JSON Feed, or JSON Lines.
    private static func jsonObject(_ text: [UInt8], _ source: RemoteSource) -> RemoteDocument {
        do throws(FlatJSONObject.Failure) {
            let members = try FlatJSONObject(text).members
            guard JSONFeed.isFeed(members) else { return records(text, .jsonLines, source) }
            return feed(text, source) { bytes throws(FeedParser.Unusable) in
                try JSONFeed.parse(bytes, address: source.address)
            }
        } catch {
            let head = String(decoding: text.prefix(4096), as: UTF8.self)
            guard head.contains("jsonfeed.org") else { return records(text, .jsonLines, source) }
            return RemoteDocument(failure: "the JSON Feed cannot be read: \(error.reason)", isComplete: false)
        }
    }

    private static func records(
        _ text: [UInt8],
        _ format: StatementParser.Format,
        _ source: RemoteSource
    ) -> RemoteDocument {
        var parser = StatementParser(format: format, source: source.name, identity: source.identity)
        let results = parser.feed(text) + parser.finish()
        return RemoteDocument(results: results)
    }

    private mutating func noteIfUseless() {
        guard failure == nil, !results.isEmpty else { return }
        var reason: String?
        for result in results {
            switch result {
            case .statement: return
            case .malformed(let record): reason = reason ?? record.reason
            }
        }
        failure = "nothing in the answer can be used: \(reason ?? "it is malformed")"
        isComplete = false
    }
}

/// The parts of a `Content-Type` that say how to read a body.
struct ContentType: Equatable {
    /// The media type in lower case, without parameters.
    var mediaType = ""
    /// The `charset`.
    var charset: String?

    init(_ header: String?) {
        guard let header, header.utf8.count <= 512 else { return }
        let parts = header.split(separator: ";")
        mediaType = parts.first.map { $0.trimmingCharacters(in: .whitespaces).lowercased() } ?? ""
        for part in parts.dropFirst() {
            let pair = part.split(separator: "=", maxSplits: 1).map { $0.trimmingCharacters(in: .whitespaces) }
            guard pair.count == 2, pair[0].lowercased() == "charset" else { continue }
            charset = pair[1].trimmingCharacters(in: CharacterSet(charactersIn: "\"' "))
        }
    }

    /// Whether it announces XML.
    var isFeed: Bool { mediaType.hasSuffix("/xml") || mediaType.hasSuffix("+xml") }
}

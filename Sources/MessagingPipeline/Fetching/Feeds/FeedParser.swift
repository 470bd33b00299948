import Foundation

#if canImport(FoundationXML)
import FoundationXML
#endif

/// Reads RSS (0.9 to 2.0) and Atom (0.3 and 1.0).
///
/// XML is read by Foundation's parser, which is never told of a document type or anything outside the document.
struct FeedParser {
    /// Why a document is no feed at all.
    struct Unusable: Error, Equatable {
        let reason: String
    }

    /// How deep elements may be nested.
    static let depthLimit = 200
    /// How many entries are read; what follows is reported.
    static let entryLimit = 50_000

    /// Reads a whole feed.
    ///
    /// - Parameters:
    ///   - bytes: The feed in valid UTF-8.
    ///   - address: Where it was found, for relative links.
    /// - Returns: The entries that are complete, and where the document breaks off if it does.
    /// - Throws: `Unusable` when it is no feed or is refused.
    static func parse(_ bytes: [UInt8], address: URL?) throws(Unusable) -> FeedDocument {
        let cleaned: [UInt8]
        do throws(XMLCleaner.Refused) {
            cleaned = try XMLCleaner.clean(bytes)
        } catch {
            throw Unusable(reason: "the feed is refused: \(error.reason)")
        }
        guard cleaned.contains(UInt8(ascii: "<")) else { throw Unusable(reason: "the answer is no XML") }
        let reader = FeedReader(address: address)
        let parser = XMLParser(data: Data(cleaned))
        parser.shouldResolveExternalEntities = false
        parser.delegate = reader
        _ = parser.parse()
        // The delegate is not retained by the parser.
        return try withExtendedLifetime(reader) { () throws(Unusable) in
            if let reason = reader.refusal { throw Unusable(reason: reason) }
            guard reader.hasRoot else { throw Unusable(reason: "the answer is no well-formed XML") }
            return reader.finished()
        }
    }
}

import Foundation

#if canImport(FoundationXML)
import FoundationXML
#endif

/// Gathers the entries of a feed from what the XML parser finds.
final class FeedReader: NSObject, XMLParserDelegate {
    private struct Element {
        var space: FeedVocabulary.Space
        var name: String
        /// What the prefixes meant before, when this element changed it.
        var outerNamespaces: [String: String]?
        var outerBase: URL?
    }

    /// A field of an entry that is being read.
    private struct Capture {
        var field: FeedVocabulary.Field
        var depth: Int
        var kind: FeedEntry.Text.Kind
        var raw = ""
        /// The same as HTML, once there are elements within.
        var markup: String?
    }

    /// Why the document is no feed.
    private(set) var refusal: String?
    /// Whether there was a root element of a feed.
    private(set) var hasRoot = false

    private var document = FeedDocument()
    private var elements: [Element] = []
    private var namespaces: [String: String] = [:]
    private var base: URL?
    private var isAtom = false
    private var entry: FeedEntry?
    private var entryDepth = 0
    private var entryDates: [(rank: Int, text: String)] = []
    private var capture: Capture?
    private var channelLink: String?
    private var isOver = false
    private var count = 0

    init(address: URL?) {
        base = address
    }

    /// The document, when the parser has come to its end.
    func finished() -> FeedDocument {
        if !isOver, document.brokenAt == nil { breakOff(line: 1, "the document breaks off") }
        return document
    }

    // MARK: Elements

    func parser(
        _ parser: XMLParser,
        didStartElement elementName: String,
        namespaceURI: String?,
        qualifiedName: String?,
        attributes: [String: String]
    ) {
        guard !isStopped else { return }
        guard elements.count < FeedParser.depthLimit else {
            breakOff(line: parser.lineNumber, "elements are nested deeper than \(FeedParser.depthLimit)")
            return parser.abortParsing()
        }
        let element = open(elementName, attributes)
        elements.append(element)
        if elements.count == 1 { return readRoot(element, parser) }
        if capture != nil { return captureStart(element.name) }
        if entry == nil, isEntry(element) { return startEntry(parser, attributes) }
        if entry != nil { startField(element, attributes) } else { startChannelField(element, attributes) }
    }

    func parser(
        _ parser: XMLParser,
        didEndElement elementName: String,
        namespaceURI: String?,
        qualifiedName: String?
    ) {
        guard !isStopped, let element = elements.last else { return }
        if let captured = capture {
            if elements.count == captured.depth { endField(captured) } else { captureEnd(element.name) }
        } else if entry != nil, elements.count == entryDepth {
            endEntry(parser)
        }
        close(element)
        if elements.isEmpty { isOver = true }
    }

    func parser(_ parser: XMLParser, foundCharacters string: String) {
        if !isStopped { take(string) }
    }

    func parser(_ parser: XMLParser, foundCDATA block: Data) {
        if !isStopped { take(String(decoding: block, as: UTF8.self)) }
    }

    func parser(_ parser: XMLParser, parseErrorOccurred parseError: any Error) {
        // A prefix that was never bound (201), a namespace that is no address (99) and the like harm nothing.
        let code = (parseError as NSError).code
        guard !isStopped, !(200...205).contains(code), code != 99, code != 100 else { return }
        breakOff(line: parser.lineNumber, "the document is not well-formed from here on, or breaks off")
        parser.abortParsing()
    }

    private var isStopped: Bool { isOver || refusal != nil || document.brokenAt != nil }

    private func breakOff(line: Int, _ reason: String) {
        document.brokenAt = .init(line: entry?.line ?? max(1, line), reason: reason)
    }

    private func open(_ qualifiedName: String, _ attributes: [String: String]) -> Element {
        let outer = namespaces
        var isChanged = false
        for (name, value) in attributes where name == "xmlns" || name.hasPrefix("xmlns:") {
            namespaces[String(name.dropFirst(6))] = value
            isChanged = true
        }
        let parts = qualifiedName.split(separator: ":", maxSplits: 1, omittingEmptySubsequences: false)
        let prefix = parts.count == 2 ? String(parts[0]) : ""
        let element = Element(
            space: FeedVocabulary.space(prefix: prefix, uri: namespaces[prefix]),
            name: (parts.last.map(String.init) ?? "").lowercased(),
            outerNamespaces: isChanged ? outer : nil,
            outerBase: base
        )
        if let relative = attributes["xml:base"] { base = Self.resolve(relative, base) ?? base }
        return element
    }

    private func close(_ element: Element) {
        elements.removeLast()
        if let outer = element.outerNamespaces { namespaces = outer }
        base = element.outerBase
    }

    private func readRoot(_ root: Element, _ parser: XMLParser) {
        switch root.name {
        case "rss", "rdf", "channel": hasRoot = true
        case "feed", "entry":
            hasRoot = true
            isAtom = true
            // An entry can be a document of its own.
            if root.name == "entry" { startEntry(parser, [:]) }
        case "html", "head", "body":
            refusal = "the answer is a web page, not a feed"
            parser.abortParsing()
        default:
            refusal = "the element <\(root.name.prefix(40))> begins neither RSS nor Atom"
            parser.abortParsing()
        }
    }

    // MARK: Entries

    private func isEntry(_ element: Element) -> Bool {
        element.space == .feed && element.name == (isAtom ? "entry" : "item")
    }

    private func startEntry(_ parser: XMLParser, _ attributes: [String: String]) {
        guard count < FeedParser.entryLimit else {
            breakOff(line: parser.lineNumber, "more than \(FeedParser.entryLimit) entries")
            return parser.abortParsing()
        }
        count += 1
        var new = FeedEntry(number: count, line: parser.lineNumber)
        new.id = attributes["rdf:about"]
        entry = new
        entryDepth = elements.count
        entryDates = []
    }

    private func endEntry(_ parser: XMLParser) {
        guard var complete = entry else { return }
        complete.dates = entryDates.sorted { $0.rank < $1.rank }.map(\.text)
        document.entries.append(complete)
        entry = nil
    }

    private func startField(_ element: Element, _ attributes: [String: String]) {
        let isChild = elements.count == entryDepth + 1
        guard let field = FeedVocabulary.field(element.space, element.name), isChild || field == .caption else {
            return
        }
        if field == .link, let address = attributes["href"] {
            let relation = attributes["rel"] ?? "alternate"
            if relation == "alternate", entry?.link == nil { entry?.link = absolute(address) }
            return
        }
        if field == .content, attributes["src"] != nil { return }
        if field == .id { entry?.isPermanentLink = attributes["isPermaLink"]?.lowercased() != "false" && !isAtom }
        guard let kind = kind(of: element, attributes) else { return }
        capture = Capture(field: field, depth: elements.count, kind: kind)
    }

    /// How a text is to be understood; nil when it is none.
    private func kind(of element: Element, _ attributes: [String: String]) -> FeedEntry.Text.Kind? {
        if element.space == .content { return .html }
        guard element.space == .feed, isAtom || (element.name == "content" && attributes["type"] != nil) else {
            return .either
        }
        let type = attributes["type"]?.lowercased() ?? "text"
        switch type {
        case "text", "text/plain": return attributes["mode"] == "escaped" ? .either : .plain
        case "html", "text/html", "xhtml", "application/xhtml+xml": return .html
        default: return type.hasPrefix("text/") ? .plain : nil
        }
    }

    private func endField(_ captured: Capture) {
        capture = nil
        let raw = captured.raw.trimmingCharacters(in: .whitespacesAndNewlines)
        guard !raw.isEmpty else { return }
        let text = captured.markup.map { FeedEntry.Text(.html, $0) } ?? FeedEntry.Text(captured.kind, raw)
        guard entry != nil else {
            if captured.field == .link, document.link == nil { document.link = absolute(raw) }
            return
        }
        switch captured.field {
        case .id: entry?.id = raw
        case .link: if entry?.link == nil { entry?.link = absolute(raw) }
        case .title: if entry?.title == nil { entry?.title = text }
        case .summary: if entry?.summary == nil { entry?.summary = text }
        case .content: if entry?.content == nil { entry?.content = text }
        case .caption: if entry?.caption == nil { entry?.caption = text }
        case .date(let rank): if entryDates.count < 16 { entryDates.append((rank, raw)) }
        }
    }

    // MARK: The feed itself

    private func startChannelField(_ element: Element, _ attributes: [String: String]) {
        guard element.space == .feed, element.name == "link", document.link == nil else { return }
        guard elements.dropLast().last.map({ $0.name == "channel" || $0.name == "feed" }) == true else { return }
        if let address = attributes["href"] {
            if (attributes["rel"] ?? "alternate") == "alternate" { document.link = absolute(address) }
        } else {
            capture = Capture(field: .link, depth: elements.count, kind: .plain)
        }
    }

    // MARK: Text

    private func take(_ text: String) {
        guard capture != nil else { return }
        capture?.raw += text
        if capture?.markup != nil { capture?.markup? += Self.escaped(text) }
    }

    private func captureStart(_ name: String) {
        guard var current = capture else { return }
        capture = nil
        current.markup = (current.markup ?? Self.escaped(current.raw)) + "<\(name)>"
        capture = current
    }

    private func captureEnd(_ name: String) {
        capture?.markup? += "</\(name)>"
    }

    private static func escaped(_ text: String) -> String {
        guard text.utf8.contains(where: { $0 == UInt8(ascii: "&") || $0 == UInt8(ascii: "<") }) else { return text }
        return text.replacing("&", with: "&amp;").replacing("<", with: "&lt;")
    }

    private func absolute(_ address: String) -> String? {
        Self.resolve(address, base)?.absoluteString
    }

    private static func resolve(_ address: String, _ base: URL?) -> URL? {
        let address = address.trimmingCharacters(in: .whitespacesAndNewlines)
        guard !address.isEmpty, address.utf8.count <= 4096 else { return nil }
        return URL(string: address, relativeTo: base)?.absoluteURL
    }
}

import Foundation

/// Makes statements of the entries of a feed.
struct FeedStatements {
    /// The largest text that is accepted, in bytes.
    static let textLimit = 1 << 20

    private struct Draft {
        let entry: FeedEntry
        let text: String
        let date: Date?
        /// What names the entry, when the feed gives it a name.
        let name: String?
    }

    /// What becomes of the entries of a feed, in order.
    ///
    /// An entry's text is its title and its content, or its summary without a content. Its id is what the feed calls it,
    /// its address without that, or is derived from date and text. Where entries that say different things go by the same
    /// name, the name is worthless, and theirs is derived too. An entry that is there twice counts once.
    ///
    /// - Parameters:
    ///   - document: The feed.
    ///   - source: The name of the feed, for the statements and for what is malformed.
    ///   - identity: How ids of this feed become ids of statements.
    /// - Returns: The statements, and what is malformed.
    static func read(_ document: FeedDocument, source: String, identity: SourceIdentity) -> [ReadResult] {
        var results: [ReadResult] = []
        var drafts: [Draft] = []
        for entry in document.entries {
            let text = Self.text(of: entry)
            if text.isEmpty || text.utf8.count > textLimit {
                let reason = text.isEmpty ? "neither a title nor a text" : "text larger than \(textLimit) bytes"
                results.append(malformed(entry.number, entry.line, reason, source))
            } else {
                let date = FeedDate.first(entry.dates)
                let name = name(of: entry, document, identity)
                drafts.append(Draft(entry: entry, text: text, date: date, name: name))
            }
        }
        let ambiguous = ambiguousNames(drafts)
        var seen: Set<String> = []
        for draft in drafts {
            let given = draft.name.flatMap { ambiguous.contains($0) ? nil : $0 }
            let id = given ?? Statement.derivedID(createdAt: draft.date, text: draft.text)
            guard seen.insert(id).inserted else { continue }
            results.append(.statement(Statement(id: id, createdAt: draft.date, text: draft.text, source: source)))
        }
        if let stop = document.brokenAt {
            results.append(malformed(document.entries.count + 1, stop.line, stop.reason, source))
        }
        return results
    }

    /// Names that stand for more than one content.
    private static func ambiguousNames(_ drafts: [Draft]) -> Set<String> {
        var contents: [String: String] = [:]
        var ambiguous: Set<String> = []
        for draft in drafts {
            guard let name = draft.name else { continue }
            let content = Statement.derivedID(createdAt: draft.date, text: draft.text)
            if let other = contents[name], other != content { ambiguous.insert(name) }
            contents[name] = content
        }
        return ambiguous
    }

    private static func name(of entry: FeedEntry, _ document: FeedDocument, _ identity: SourceIdentity) -> String? {
        if let id = entry.id, let name = identity.statementID(id) { return name }
        // The address of the site itself says nothing about the entry. Another feed may link to the same page with words
        // of its own, so an address that is not given as a name is one only within this feed.
        guard let link = entry.link, link != document.link else { return nil }
        return identity.statementID(link, isGlobal: false)
    }

    /// The title and the text of an entry, without saying the same thing twice.
    static func text(of entry: FeedEntry) -> String {
        let title = entry.title?.plain ?? ""
        let body =
            [entry.content, entry.summary, entry.caption].lazy
            .compactMap { $0?.plain }.first { !$0.isEmpty } ?? ""
        if body.isEmpty || title.isEmpty { return body.isEmpty ? title : body }
        return repeats(title, in: body) ? body : title + "\n" + body
    }

    /// Whether a title is only the beginning of the text, as it is where statements have no titles.
    private static func repeats(_ title: String, in body: String) -> Bool {
        var title = comparable(title)
        if title.last == "…" { title.removeLast() }
        while title.last == "." { title.removeLast() }
        while title.last == " " { title.removeLast() }
        return !title.isEmpty && comparable(String(body.prefix(title.count * 2 + 64))).hasPrefix(title)
    }

    private static func comparable(_ text: String) -> String {
        text.lowercased().split(whereSeparator: \.isWhitespace).joined(separator: " ")
    }

    private static func malformed(_ record: Int, _ line: Int, _ reason: String, _ source: String) -> ReadResult {
        .malformed(MalformedRecord(source: source, record: record, line: line, reason: reason))
    }
}

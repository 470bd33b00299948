/// The elements of feeds, and the namespaces they come from.
enum FeedVocabulary {
    /// Which vocabulary an element belongs to.
    enum Space: Equatable {
        /// RSS or Atom itself.
        case feed
        case content, dublinCore, terms, media, itunes, other
    }

    /// What a child of an entry says.
    enum Field: Equatable {
        case id, link, title, summary, content, caption
        /// A date; the one with the smallest rank counts.
        case date(rank: Int)
    }

    /// The vocabulary of a prefix.
    ///
    /// - Parameters:
    ///   - prefix: The prefix of the element's name, empty without one.
    ///   - uri: The namespace that the document binds it to.
    /// - Returns: The vocabulary; an unknown namespace goes by its prefix, for feeds mistype addresses.
    static func space(prefix: String, uri: String?) -> Space {
        if let uri, let space = spaces[normalized(uri)] { return space }
        if prefix.isEmpty {
            // RSS has no namespace, and some feeds make one up for it.
            return uri == xhtml || uri?.contains("w3.org/2000/svg") == true ? .other : .feed
        }
        return prefixes[prefix.lowercased()] ?? .other
    }

    /// What an element in an entry says, when it says anything of interest.
    static func field(_ space: Space, _ name: String) -> Field? {
        switch (space, name) {
        case (.feed, "guid"), (.feed, "id"): .id
        case (.feed, "link"): .link
        case (.feed, "title"): .title
        case (.feed, "description"), (.feed, "summary"), (.feed, "tagline"): .summary
        case (.feed, "content"), (.content, "encoded"): .content
        case (.feed, "pubdate"), (.feed, "published"), (.feed, "issued"): .date(rank: 0)
        case (.dublinCore, "date"), (.terms, "issued"), (.terms, "created"), (.terms, "date"): .date(rank: 1)
        case (.feed, "created"), (.feed, "date"): .date(rank: 2)
        case (.feed, "updated"), (.feed, "modified"), (.terms, "modified"), (.feed, "lastbuilddate"): .date(rank: 3)
        case (.media, "description"), (.itunes, "summary"), (.dublinCore, "description"): .caption
        default: nil
        }
    }

    private static let xhtml = "http://www.w3.org/1999/xhtml"

    private static func normalized(_ uri: String) -> String {
        guard uri.utf8.count <= 128 else { return "" }
        var uri = uri.lowercased()[...]
        if let scheme = uri.firstRange(of: "://") { uri = uri[scheme.upperBound...] }
        while uri.last == "/" || uri.last == "#" { uri.removeLast() }
        return String(uri)
    }

    private static let spaces: [String: Space] = [
        "www.w3.org/2005/atom": .feed,
        "purl.org/atom/ns": .feed,
        "purl.org/rss/1.0": .feed,
        "my.netscape.com/rdf/simple/0.9": .feed,
        "purl.org/rss/1.0/modules/content": .content,
        "purl.org/dc/elements/1.1": .dublinCore,
        "purl.org/dc/terms": .terms,
        "search.yahoo.com/mrss": .media,
        "www.itunes.com/dtds/podcast-1.0.dtd": .itunes,
    ]

    private static let prefixes: [String: Space] = [
        "atom": .feed, "rss": .feed, "a10": .feed, "content": .content, "dc": .dublinCore, "dcterms": .terms,
        "media": .media, "itunes": .itunes,
    ]
}

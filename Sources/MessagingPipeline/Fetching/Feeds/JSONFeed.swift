import Foundation

/// Reads JSON Feed (https://www.jsonfeed.org/version/1.1/).
enum JSONFeed {
    /// Whether an object with these members is a JSON Feed.
    static func isFeed(_ members: [String: FlatJSONObject.Value]) -> Bool {
        guard case .string(let version) = members["version"] else { return false }
        return version.contains("jsonfeed.org/version/") && members["items"] == .nested
    }

    /// Reads a whole feed.
    ///
    /// - Parameters:
    ///   - bytes: The feed.
    ///   - address: Where it was found, for relative links.
    /// - Returns: The entries.
    /// - Throws: `FeedParser.Unusable` when it is no JSON Feed.
    static func parse(_ bytes: [UInt8], address: URL?) throws(FeedParser.Unusable) -> FeedDocument {
        let feed: Feed
        do {
            feed = try JSONDecoder().decode(Feed.self, from: Data(bytes))
        } catch {
            throw FeedParser.Unusable(reason: "the answer is no JSON Feed")
        }
        var document = FeedDocument(link: feed.homePage.flatMap { absolute($0, address) })
        for (index, item) in feed.items.prefix(FeedParser.entryLimit).enumerated() {
            // Where an item stands in the text is not known; its number says which one it is.
            var entry = FeedEntry(number: index + 1, line: 1)
            entry.id = item.id
            entry.link = item.url.flatMap { absolute($0, address) }
            entry.title = item.title.map { .init(.plain, $0) }
            entry.content = item.html.map { .init(.html, $0) } ?? item.text.map { .init(.plain, $0) }
            entry.summary = item.summary.map { .init(.plain, $0) }
            entry.dates = [item.published, item.modified].compactMap(\.self)
            document.entries.append(entry)
        }
        if feed.items.count > FeedParser.entryLimit {
            document.brokenAt = .init(line: 1, reason: "more than \(FeedParser.entryLimit) entries")
        }
        return document
    }

    private static func absolute(_ link: String, _ base: URL?) -> String? {
        guard link.utf8.count <= 4096 else { return nil }
        return URL(string: link, relativeTo: base)?.absoluteString
    }

    private struct Feed: Decodable {
        let homePage: String?
        let items: [Item]

        private enum CodingKeys: String, CodingKey {
            case homePage = "home_page_url"
            case items
        }

        init(from decoder: any Decoder) throws {
            let container = try decoder.container(keyedBy: CodingKeys.self)
            homePage = try? container.decode(String.self, forKey: .homePage)
            items = try container.decode([Item].self, forKey: .items)
        }
    }

    /// An item; a member of the wrong type counts as missing.
    private struct Item: Decodable {
        var id: String?
        var url: String?
        var title: String?
        var html: String?
        var text: String?
        var summary: String?
        var published: String?
        var modified: String?

        private enum CodingKeys: String, CodingKey {
            case id, url, title, summary
            case html = "content_html"
            case text = "content_text"
            case published = "date_published"
            case modified = "date_modified"
        }

        init(from decoder: any Decoder) throws {
            guard let container = try? decoder.container(keyedBy: CodingKeys.self) else { return }
            let string = { (key: CodingKeys) in
                (try? container.decode(String.self, forKey: key)).flatMap { $0.isEmpty ? nil : $0 }
            }
            // Version 1 allowed numbers.
            id = string(.id) ?? (try? container.decode(Int64.self, forKey: .id)).map(String.init)
            url = string(.url)
            title = string(.title)
            html = string(.html)
            text = string(.text)
            summary = string(.summary)
            published = string(.published)
            modified = string(.modified)
        }
    }
}

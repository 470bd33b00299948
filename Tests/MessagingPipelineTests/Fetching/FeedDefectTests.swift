import Foundation
import Messaging
import Testing

@testable import MessagingPipeline

/// A feed with a defect, and what is to become of it.
struct FeedCase: Sendable, CustomTestStringConvertible {
    var testDescription: String
    var bytes: [UInt8]
    var contentType: String?
    var format: RemoteSource.Format = .automatic
    /// Id, date and text of the statements; `~` stands for the prefix of the source's own ids, `*` for any derived id.
    var expected: [(id: String, date: String?, text: String)]
    /// Record and line of what is reported.
    var malformed: [(record: Int, line: Int)] = []
    var failure: String?

    init(
        _ name: String,
        _ text: String,
        type: String? = nil,
        _ expected: [(id: String, date: String?, text: String)],
        malformed: [(record: Int, line: Int)] = [],
        failure: String? = nil
    ) {
        self.init(name, Array(text.utf8), type: type, expected, malformed: malformed, failure: failure)
    }

    init(
        _ name: String,
        _ bytes: [UInt8],
        type: String? = nil,
        _ expected: [(id: String, date: String?, text: String)],
        malformed: [(record: Int, line: Int)] = [],
        failure: String? = nil
    ) {
        testDescription = name
        self.bytes = bytes
        contentType = type
        self.expected = expected
        self.malformed = malformed
        self.failure = failure
    }
}

private func rss(_ items: String, root: String = #"<rss version="2.0">"#) -> String {
    "\(root)<channel><title>A feed</title><link>https://ex.org/</link>\(items)</channel></rss>"
}

private func utf16(_ text: String, mark: [UInt8], isLittle: Bool) -> [UInt8] {
    mark + text.utf16.flatMap { isLittle ? [UInt8($0 & 0xFF), UInt8($0 >> 8)] : [UInt8($0 >> 8), UInt8($0 & 0xFF)] }
}

private func latin1(_ text: String) -> [UInt8] { text.unicodeScalars.map { UInt8(truncatingIfNeeded: $0.value) } }

private let cases: [FeedCase] = [
    FeedCase(
        "an ordinary RSS feed",
        """
        <?xml version="1.0" encoding="UTF-8"?>
        <rss version="2.0" xmlns:content="http://purl.org/rss/1.0/modules/content/" xmlns:atom="http://www.w3.org/2005/Atom"
          xmlns:dc="http://purl.org/dc/elements/1.1/">
        <channel><title>News</title><link>https://ex.org/</link>
        <atom:link href="https://ex.org/feed" rel="self"/>
        <item><title>One</title><link>https://ex.org/1</link><guid>https://ex.org/1</guid>
        <pubDate>Wed, 27 Aug 2008 13:08:45 +0200</pubDate><dc:creator>Somebody</dc:creator>
        <description>Teaser</description><content:encoded><![CDATA[<p>The <b>whole</b> text.</p>]]></content:encoded></item>
        <item><title>Two</title><guid isPermaLink="false">2</guid><dc:date>2008-08-27</dc:date>
        <description>Second</description></item>
        </channel></rss>
        """,
        [
            ("https://ex.org/1", "2008-08-27T11:08:45Z", "One\nThe whole text."),
            ("~2", "2008-08-27T00:00:00Z", "Two\nSecond"),
        ]
    ),
    FeedCase(
        "an ordinary Atom feed",
        """
        <?xml version="1.0"?><feed xmlns="http://www.w3.org/2005/Atom" xml:base="https://ex.org/blog/">
        <title>Blog</title><link href="/"/><id>tag:ex.org,2020:blog</id>
        <entry><id>tag:ex.org,2020:1</id><title type="html">Fish &amp;amp; chips</title><link href="1.html"/>
        <published>2020-02-29T12:00:00Z</published><updated>2021-01-01T00:00:00Z</updated>
        <content type="xhtml"><div xmlns="http://www.w3.org/1999/xhtml"><p>a &lt; b</p><script>x()</script><p>c</p></div></content>
        <source><id>other</id><title>Not mine</title></source></entry>
        <entry><id>7</id><title>Just a &lt;b&gt; title</title><updated>2021-01-01T00:00:00.5+01:00</updated></entry>
        </feed>
        """,
        [
            ("tag:ex.org,2020:1", "2020-02-29T12:00:00Z", "Fish & chips\na < b\nc"),
            ("~7", "2020-12-31T23:00:00.500Z", "Just a <b> title"),
        ]
    ),
    FeedCase(
        "Atom with a prefix, and a root without any namespace",
        #"<a:feed xmlns:a="http://www.w3.org/2005/Atom"><a:entry><a:id>urn:x:1</a:id><a:title>T</a:title></a:entry></a:feed>"#,
        [("urn:x:1", nil, "T")]
    ),
    FeedCase(
        "Atom without its namespace",
        "<feed><entry><id>1</id><summary>s</summary></entry></feed>",
        [("~1", nil, "s")]
    ),
    FeedCase(
        "RSS 1.0",
        """
        <rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#" xmlns="http://purl.org/rss/1.0/"
          xmlns:dc="http://purl.org/dc/elements/1.1/">
        <channel rdf:about="https://ex.org/"><title>c</title></channel>
        <item rdf:about="https://ex.org/a"><title>A</title><dc:date>2003-12-13T18:30:02Z</dc:date></item></rdf:RDF>
        """,
        [("https://ex.org/a", "2003-12-13T18:30:02Z", "A")]
    ),
    FeedCase(
        "blanks, a byte order mark and a warning before the declaration",
        [0xEF, 0xBB, 0xBF]
            + Array(
                ("\n\nWarning: it is late\n<?xml version='1.0'?>" + rss("<item><title>T</title><guid>1</guid></item>"))
                    .utf8
            ),
        [("~1", nil, "T")]
    ),
    FeedCase(
        "names of characters that XML does not know, and bare ampersands",
        rss(
            "<item><guid>1</guid><title>caf&eacute;&nbsp;&mdash; AT&T &unknown; x&#8217;s &#150; &#0;ok</title></item>"
        ),
        [("~1", nil, "café — AT&T &unknown; x’s – ok")]
    ),
    FeedCase(
        "characters that XML forbids",
        rss("<item><guid>1</guid><title>a\u{0}b\u{8}c\u{1F}d\u{FFFF}e&#x1F;f</title></item>"),
        [("~1", nil, "abcdef")]
    ),
    FeedCase(
        "a less-than sign that begins nothing",
        rss("<item><guid>1</guid><title>2 < 3 and <3</title></item>"),
        [("~1", nil, "2 < 3 and <3")]
    ),
    FeedCase(
        "HTML in text, escaped once and twice",
        rss(
            """
            <item><guid>1</guid><title>&lt;em&gt;Big&lt;/em&gt; &amp;amp; small, List&lt;Int&gt;</title>
            <description>&lt;p&gt;One&lt;br/&gt;two &amp;euro;5&lt;/p&gt;&lt;style&gt;p {}&lt;/style&gt;&lt;ul&gt;&lt;li&gt;x&lt;li&gt;y&lt;/ul&gt;
            &lt;!-- no --&gt;&lt;img src="a>b"&gt;end</description></item>
            """
        ),
        [("~1", nil, "Big & small, List<Int>\nOne\ntwo €5\nx\ny\nend")]
    ),
    FeedCase(
        "HTML that was not escaped",
        rss("<item><guid>1</guid><description><p>One &amp; two</p><p>three</p></description></item>"),
        [("~1", nil, "One & two\nthree")]
    ),
    FeedCase(
        "a prefix that was never bound, and a namespace with a typing error",
        rss(
            "<item><guid>1</guid><foo:bar>x</foo:bar><content:encoded>&lt;i&gt;text&lt;/i&gt;</content:encoded></item>",
            root: #"<rss xmlns:dc="http://purl.org/dc/elements/1.0/">"#
        ),
        [("~1", nil, "text")]
    ),
    FeedCase(
        "ids that are missing, blank, addresses, relative addresses and the address of the site",
        rss(
            """
            <item><title>by link</title><link>/a?b=1</link></item>
            <item><title>nothing</title><guid> </guid></item>
            <item><title>site</title><link>https://ex.org/</link></item>
            <item><title>uuid</title><guid>1225c695-cfb8-4ebb-aaaa-80da344efa6a</guid></item>
            """
        ),
        [
            ("~https://ex.org/a?b=1", nil, "by link"), ("*", nil, "nothing"), ("*", nil, "site"),
            ("1225c695-cfb8-4ebb-aaaa-80da344efa6a", nil, "uuid"),
        ]
    ),
    FeedCase(
        "the same id for different entries, and the same entry twice",
        rss(
            """
            <item><guid>1</guid><title>a</title></item><item><guid>1</guid><title>b</title></item>
            <item><guid>2</guid><title>c</title></item><item><guid>2</guid><title>c</title></item>
            """
        ),
        [("*", nil, "a"), ("*", nil, "b"), ("~2", nil, "c")]
    ),
    FeedCase(
        "an id that is too long",
        rss("<item><guid>https://ex.org/\(String(repeating: "x", count: 300))</guid><title>T</title></item>"),
        [("h-" + StableHash.hex128("https://ex.org/\(String(repeating: "x", count: 300))".utf8), nil, "T")]
    ),
    FeedCase(
        "entries without text",
        rss(
            "<item><guid>1</guid></item>\n<item><guid>2</guid><title>T</title></item>\n<item><title> <br/> </title></item>"
        ),
        [("~2", nil, "T")],
        malformed: [(1, 1), (3, 3)]
    ),
    FeedCase(
        "titles that are the beginning of the text",
        rss(
            """
            <item><guid>1</guid><title>Hello world, this…</title><description>Hello World, this is it</description></item>
            <item><guid>2</guid><title>Same</title><description>Same</description></item>
            <item><guid>3</guid><title>Other</title><description>text</description></item>
            """
        ),
        [("~1", nil, "Hello World, this is it"), ("~2", nil, "Same"), ("~3", nil, "Other\ntext")]
    ),
    FeedCase(
        "a text that only the attached media have",
        #"<feed xmlns="http://www.w3.org/2005/Atom" xmlns:media="http://search.yahoo.com/mrss/"><entry><id>yt:1</id>"#
            + "<title>Clip</title><media:group><media:title>no</media:title><media:description>What it shows</media:description>"
            + "</media:group></entry></feed>",
        [("~yt:1", nil, "Clip\nWhat it shows")]
    ),
    FeedCase(
        "a document that breaks off",
        "<rss><channel>\n<item><guid>1</guid><title>T</title></item>\n<item><guid>2</guid><title>Hal",
        [("~1", nil, "T")],
        malformed: [(2, 3)]
    ),
    FeedCase(
        "tags that do not match",
        "<rss><channel>\n<item><guid>1</guid><title>T</title></item>\n\n<item><b></item><item><title>x</title></item>",
        [("~1", nil, "T")],
        malformed: [(2, 4)]
    ),
    FeedCase(
        "text behind the end",
        rss("<item><guid>1</guid><title>T</title></item>") + "\n<!-- made in 3 ms --> junk <b>",
        [("~1", nil, "T")]
    ),
    FeedCase(
        "a document type, which is not read",
        """
        <!DOCTYPE rss PUBLIC "-//Netscape//DTD RSS 0.91//EN" "http://127.0.0.1:9/rss.dtd" [<!ENTITY % x SYSTEM "file:///x"> %x;]>
        """ + rss("<item><guid>1</guid><title>T</title></item>"),
        [("~1", nil, "T")]
    ),
    FeedCase(
        "a billion laughs",
        """
        <?xml version="1.0"?><!DOCTYPE lolz [<!ENTITY lol "lol"><!ENTITY lol2 "&lol;&lol;&lol;">]>
        <rss><channel><item><title>&lol2;</title></item></channel></rss>
        """,
        [],
        failure: "declares entities"
    ),
    FeedCase(
        "an external entity",
        """
        <!DOCTYPE rss [<!ENTITY secret SYSTEM "file:///etc/hostname">]><rss><channel><item><title>&secret;</title></item></channel></rss>
        """,
        [],
        failure: "declares entities"
    ),
    FeedCase(
        "elements nested without end",
        rss("<item><guid>1</guid><title>T</title></item>\n" + String(repeating: "<x>", count: 5000)),
        [("~1", nil, "T")],
        malformed: [(2, 2)]
    ),
    FeedCase("a web page", "<!DOCTYPE html><html><body>hello</body></html>", [], failure: "web page"),
    FeedCase("another XML document", "<opml/>", [], failure: "<opml>"),
    FeedCase("an empty answer that claims to be a feed", "", type: "application/rss+xml", [], failure: "no XML"),
    FeedCase("an empty answer", " \n", []),
    FeedCase(
        "UTF-16 with a mark",
        utf16(
            "<?xml version='1.0' encoding='UTF-16'?>" + rss("<item><guid>1</guid><title>naïve 💡</title></item>"),
            mark: [0xFF, 0xFE],
            isLittle: true
        ),
        [("~1", nil, "naïve 💡")]
    ),
    FeedCase(
        "UTF-16 without a mark",
        utf16(rss("<item><guid>1</guid><title>naïve</title></item>"), mark: [], isLittle: false),
        [("~1", nil, "naïve")]
    ),
    FeedCase(
        "Latin-1 as declared, with bytes of windows-1252",
        latin1(
            "<?xml version='1.0' encoding='ISO-8859-1'?>"
                + rss("<item><guid>1</guid><title>caf\u{E9} \u{93}x\u{94} \u{80}</title></item>")
        ),
        [("~1", nil, "café “x” €")]
    ),
    FeedCase(
        "Latin-1 that claims to be UTF-8",
        latin1("<?xml version='1.0' encoding='utf-8'?>" + rss("<item><guid>1</guid><title>caf\u{E9}s</title></item>")),
        type: "text/xml; charset=utf-8",
        [("~1", nil, "cafés")]
    ),
    FeedCase(
        "UTF-8 that claims to be Latin-1",
        "<?xml version='1.0' encoding='iso-8859-1'?>" + rss("<item><guid>1</guid><title>cafés</title></item>"),
        type: "text/xml; charset=\"iso-8859-1\"",
        [("~1", nil, "cafés")]
    ),
    FeedCase(
        "an encoding that only the server names",
        Array("<rss><channel><item><guid>1</guid><title>".utf8) + [0xF0, 0xD2, 0xC9]
            + Array("</title></item></channel></rss>".utf8),
        type: "application/rss+xml; charset=KOI8-R",
        [("~1", nil, "При")]
    ),
    FeedCase(
        "dates of all kinds",
        rss(
            [
                "Sun, 06 Nov 94 08:49 EST", "Mié, 27 Aug 2008 13:08:45 CEST", "27 August 2008",
                "2008-08-27T13:08+02:00",
                "20080827T130845Z", "soon", "0001-01-01T00:00:00Z", "Wed, 27 Aug 2008 13:08:45 GMT+2",
            ].enumerated().map { "<item><guid>\($0)</guid><title>T\($0)</title><pubDate>\($1)</pubDate></item>" }
                .joined()
        ),
        [
            ("~0", "1994-11-06T13:49:00Z", "T0"), ("~1", "2008-08-27T11:08:45Z", "T1"),
            ("~2", "2008-08-27T00:00:00Z", "T2"), ("~3", "2008-08-27T11:08:00Z", "T3"),
            ("~4", "2008-08-27T13:08:45Z", "T4"), ("~5", nil, "T5"), ("~6", nil, "T6"),
            ("~7", "2008-08-27T11:08:45Z", "T7"),
        ]
    ),
    FeedCase(
        "a JSON Feed",
        """
        {"version": "https://jsonfeed.org/version/1.1", "title": "F", "home_page_url": "https://ex.org/", "items": [
          {"id": "https://ex.org/1", "title": "One", "content_html": "<p>a &amp; b</p>", "date_published": "2020-01-02T03:04:05Z"},
          {"id": 2, "content_text": "two"}, {"id": "3"}, {"url": "/4", "summary": "four"}, 5]}
        """,
        [
            ("https://ex.org/1", "2020-01-02T03:04:05Z", "One\na & b"), ("~2", nil, "two"),
            ("~https://ex.org/4", nil, "four"),
        ],
        malformed: [(3, 1), (5, 1)]
    ),
    FeedCase(
        "a JSON array and JSON Lines",
        #"[{"id": 1, "text": "one"}, {"id": "urn:a:b", "text": "two"}, {"text": ""}]"#,
        [("~1", nil, "one"), ("urn:a:b", nil, "two")],
        malformed: [(3, 1)]
    ),
    FeedCase(
        "JSON Lines",
        "{\"id\": 1, \"text\": \"one\"}\n{\"text\": \"two\"}\n",
        [("~1", nil, "one"), ("*", nil, "two")]
    ),
    FeedCase(
        "CSV in Latin-1",
        latin1("id,text\n1,caf\u{E9}\n2\n"),
        type: "text/csv; charset=latin1",
        [("~1", nil, "café")],
        malformed: [(3, 3)]
    ),
    FeedCase("CSV without a text", "a,b\n1,2\n", [], malformed: [(1, 1)], failure: "no column for the text"),
]

@Suite("Feeds and their defects", .timeLimit(.minutes(1)))
struct FeedDefectTests {
    @Test("what a source answers becomes statements", arguments: cases)
    func read(_ feed: FeedCase) throws {
        let source = try RemoteSource(url: "https://ex.org/feed", name: "feed", format: feed.format)
        let document = RemoteDocument.read(feed.bytes, contentType: feed.contentType, source: source)
        var statements: [Statement] = []
        var malformed: [MalformedRecord] = []
        for result in document.results {
            switch result {
            case .statement(let statement): statements.append(statement)
            case .malformed(let record): malformed.append(record)
            }
        }
        #expect(statements.map(\.text) == feed.expected.map(\.text))
        #expect(statements.map { $0.createdAt.map(StatementDate.string) } == feed.expected.map(\.date))
        for (statement, expected) in zip(statements, feed.expected) {
            let derived = Statement.derivedID(createdAt: statement.createdAt, text: statement.text)
            let id = expected.id == "*" ? derived : expected.id.replacing("~", with: source.identity.prefix)
            #expect(statement.id == id)
            #expect(statement.source == "feed")
        }
        #expect(malformed.map(\.record) == feed.malformed.map(\.record))
        #expect(malformed.map(\.line) == feed.malformed.map(\.line))
        #expect(malformed.allSatisfy { $0.source == "feed" && !$0.reason.isEmpty })
        if let failure = feed.failure {
            #expect(document.failure?.contains(failure) == true)
        } else {
            #expect(document.failure == nil)
        }
        let again = RemoteDocument.read(feed.bytes, contentType: feed.contentType, source: source)
        #expect(again == document)
    }

    @Test("an id of a source's own never meets that of another source, whatever the scheme and the password")
    func ids() throws {
        let bytes = Array(rss("<item><guid>1</guid><title>T</title></item>").utf8)
        let ids = try ["http://ex.org/a", "https://me:new@ex.org/a", "https://ex.org/b", "https://ex.org/a?x=1"].map {
            let document = RemoteDocument.read(bytes, contentType: nil, source: try RemoteSource(url: $0, name: "n"))
            guard case .statement(let statement) = document.results.first else { return "" }
            return statement.id
        }
        #expect(try #require(ids.first).hasSuffix(":1"))
        // A user has a feed of his own; a password is only a key to it.
        #expect(Set(ids).count == 4)
        let other = try RemoteSource(url: "https://me:old@ex.org:443/a#top")
        #expect(ids[1] == other.identity.prefix + "1")
        #expect(try RemoteSource(url: "https://ex.org/a").identity == RemoteSource(url: "http://EX.org:80/a").identity)
    }

    @Test("damaged feeds never crash the reader or hold it up, and give statements within the limits")
    func fuzz() throws {
        var generator = SeededGenerator(seed: 2024)
        let seeds = cases.map(\.bytes)
        let source = try RemoteSource(url: "https://ex.org/feed", name: "feed")
        for _ in 0..<1500 {
            var bytes = try #require(seeds.randomElement(using: &generator))
            for _ in 0..<Int.random(in: 1...6, using: &generator) where !bytes.isEmpty {
                let index = Int.random(in: 0..<bytes.count, using: &generator)
                switch Int.random(in: 0..<5, using: &generator) {
                case 0: bytes[index] = UInt8.random(in: .min ... .max, using: &generator)
                case 1:
                    bytes.removeSubrange(index..<min(bytes.count, index + Int.random(in: 1...20, using: &generator)))
                case 2:
                    let pieces = [
                        "<", ">", "&", "\"", "]]>", "<![CDATA[", "<!--", "<!DOCTYPE", "<item>", "</item>", "&#x", "{",
                        "[",
                    ]
                    bytes.insert(contentsOf: try #require(pieces.randomElement(using: &generator)).utf8, at: index)
                case 3: bytes = Array(bytes[..<index])
                default:
                    let other = try #require(seeds.randomElement(using: &generator))
                    bytes.insert(contentsOf: other.prefix(Int.random(in: 0...200, using: &generator)), at: index)
                }
            }
            let document = RemoteDocument.read(bytes, contentType: nil, source: source)
            for case .statement(let statement) in document.results {
                #expect(statement.id.utf8.count <= StatementBuilder.idLimit && !statement.id.isEmpty)
                #expect(!statement.text.isEmpty)
            }
        }
    }
}

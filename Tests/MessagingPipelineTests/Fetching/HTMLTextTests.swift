import Foundation
import Testing

@testable import MessagingPipeline

@Suite("Text of HTML", .timeLimit(.minutes(3)))
struct HTMLTextTests {
    @Test(
        "tags go, text stays",
        arguments: [
            ("plain", "plain"),
            ("a<b>b</b>c", "abc"),
            ("<p>one</p><p>two</p>", "one\ntwo"),
            ("one<br>two<BR/>three", "one\ntwo\nthree"),
            ("<td>a</td><td>b</td>", "a b"),
            ("  a \n\t b&nbsp;&nbsp;c ", "a b c"),
            ("a\u{A0}b", "a b"),
            ("<script>var a = '<p>';</script>x<STYLE>p</style >y", "xy"),
            ("a<script>never closed", "a"),
            ("a<!-- <p>no</p> -->b", "ab"),
            ("a<!-- never closed>", "a"),
            ("1 < 2 > 0", "1 < 2 > 0"),
            ("<a href=\"x>y\" title='\"'>link</a>", "link"),
            ("<a href=\"never>link", "link"),
            ("<p title=it's>x</p>", "x"),
            ("<custom-tag>x</custom-tag>", "x"),
            ("a<", "a<"), ("<", "<"), ("</", "</"), ("<>", "<>"), ("&", "&"), ("&;", "&;"), ("&#;", "&#;"),
            ("&lt;b&gt; &amp;amp; &#65;&#x42; &#128;", "<b> &amp; AB €"),
            ("&#xD800;&#1114112;&#0;x", "x"),
            ("&hearts;&Auml;&thetasym;", "♥Äϑ"),
        ]
    )
    func plain(_ html: String, _ expected: String) {
        #expect(HTMLText.plain(html) == expected)
    }

    @Test("in a text that may be plain only elements of HTML are tags")
    func known() {
        #expect(HTMLText.plain("List<Int> is <b>bold</b>", tags: .known) == "List<Int> is bold")
        #expect(HTMLText.plain("mail <me@ex.org>", tags: .known) == "mail <me@ex.org>")
    }

    @Test("plain text keeps its paragraphs and loses its line lengths")
    func tidied() {
        #expect(HTMLText.tidied("  one\ntwo \n\n  three\n\n\nfour ") == "one two\nthree\nfour")
    }

    @Test(
        "time grows with the length, not with its square",
        arguments: [
            "<", "<a ", "<a x=\"", "<a x='\"", "<script>", "<!--", "&#", "&", "<p>", "</script", "<a x=\"<b y='",
        ]
    )
    func linear(_ piece: String) {
        // At a square of the length this would take hours; the limit is that of the suite.
        let html = String(repeating: piece, count: 200_000) + ">"
        #expect(HTMLText.plain(html).utf8.count <= html.utf8.count)
        #expect(throws: Never.self) { try XMLCleaner.clean(Array(html.utf8)) }
    }

    @Test(
        "dates that only feeds have",
        arguments: [
            ("Wed 27 Aug 2008 13:08:45 GMT", "2008-08-27T13:08:45Z"),
            ("Wednesday, August 27, 2008 13:08", "2008-08-27T13:08:00Z"),
            ("27-Aug-2008", "2008-08-27T00:00:00Z"),
            ("2008/08/27 13:08:45", "2008-08-27T13:08:45Z"),
            ("2008-08", "2008-08-01T00:00:00Z"), ("2008", "2008-01-01T00:00:00Z"), ("20080827", "2008-08-27T00:00:00Z"),
            ("Wed, 27 Aug 2008 13:08:45 +0200 (CEST)", "2008-08-27T11:08:45Z"),
            ("Wed, 27 Aug 2008 13:08:45 AEST", "2008-08-27T03:08:45Z"),
            ("Wed, 27 Sept 2008 13:08:45 UTC+02:00", "2008-09-27T11:08:45Z"),
            ("2008-08-27 13:08:45 EST", "2008-08-27T18:08:45Z"),
            ("27 Aug 2008 24:00:00 GMT", nil), ("31 Feb 2008", nil), ("", nil), ("-", nil), ("Aug", nil),
            ("Aug Aug Aug", nil),
            ("1970-01-01T00:00:00Z", nil), ("yesterday", nil), (",,,", nil), ("- - -", nil),
        ] as [(String, String?)]
    )
    func dates(_ text: String, _ expected: String?) {
        #expect(FeedDate.parse(text).map(StatementDate.string) == expected)
    }
}

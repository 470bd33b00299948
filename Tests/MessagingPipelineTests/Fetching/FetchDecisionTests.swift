import Foundation
import Messaging
import Testing

@testable import MessagingPipeline

@Suite("Decisions about sources", .timeLimit(.minutes(1)))
struct FetchDecisionTests {
    // MARK: Sources

    @Test("a name never shows credentials")
    func names() throws {
        let source = try RemoteSource(url: "https://us%40er:p4ssw0rd@EX.org:8443/a%20b?id=1&token=s3cr3t&x#frag")
        #expect(source.name == "https://EX.org:8443/a%20b?id=***&token=***&x")
        #expect(!source.key.contains("s3cr3t") && !source.key.contains("p4ssw0rd") && !source.key.contains("us@er"))
        #expect(source.key.hasPrefix("ex.org:8443/a%20b?"))
        #expect(source.address.absoluteString == "https://EX.org:8443/a%20b?id=1&token=s3cr3t&x")
        #expect(source.authorization == "Basic " + Data("us@er:p4ssw0rd".utf8).base64EncodedString())
        #expect(source.redacted("no s3cr3t for us@er\nor p4ssw0rd") == "no *** for *** or ***")
        #expect(try RemoteSource(url: "http://ex.org").name == "http://ex.org")
        #expect(try RemoteSource(url: "http://ex.org").key == "ex.org/")
        #expect(try RemoteSource(url: "http://ex.org/f", format: .csv).key == "ex.org/f#csv")
    }

    @Test(
        "an address that cannot be read is refused without showing it",
        arguments: ["", "ex.org/feed", "ftp://u:secret@ex.org/", "file:///etc/passwd", "https://", "http:///secret"]
    )
    func refused(_ url: String) {
        #expect {
            try RemoteSource(url: url)
        } throws: { error in
            error is SourceError && !"\(error)".contains("secret")
        }
    }

    @Test("odd names and intervals are refused")
    func oddities() {
        #expect(throws: SourceError.self) { try RemoteSource(url: "https://ex.org/", name: "") }
        #expect(throws: SourceError.self) { try RemoteSource(url: "https://ex.org/", name: "a\u{1B}[2J") }
        #expect(throws: SourceError.self) { try RemoteSource(url: "https://ex.org/", every: .zero) }
        #expect(throws: SourceError.self) {
            try RemoteSource(url: "https://ex.org/" + String(repeating: "a", count: 5000))
        }
    }

    @Test("a list keeps the first of several sources with the same key, and tells its followers")
    func list() async throws {
        let one = try RemoteSource(url: "https://ex.org/1")
        let two = try RemoteSource(url: "https://ex.org/2", every: .seconds(5))
        let list = SourceList([one, two, try RemoteSource(url: "http://ex.org/1", name: "again")])
        #expect(list.sources == [one, two])
        await confirmation(expectedCount: 1) { told in
            let number = list.follow { told() }
            list.replace([two])
            list.stopFollowing(number)
            list.replace([])
        }
        #expect(list.sources.isEmpty)
    }

    // MARK: Ids

    @Test(
        "ids for the whole world are told from ids of one source",
        arguments: [
            ("https://ex.org/1", true), ("HTTP://ex.org", true), ("http://", false), ("https:///x", false),
            ("http://localhost/1", false), ("urn:uuid:1", true), ("urn:", false), ("urn:x", false),
            ("tag:ex.org,2020:1", true), ("tag:x", false), ("1225c695-cfb8-4ebb-aaaa-80da344efa6a", true), ("1", false),
            ("ex.org/1", false), ("mailto:a@b.c", false),
        ]
    )
    func isGlobal(_ id: String, _ expected: Bool) {
        #expect(SourceIdentity.isGlobal(id) == expected)
    }

    @Test("ids stay within the limits")
    func limits() throws {
        let identity = SourceIdentity(key: "ex.org/")
        #expect(identity.prefix.utf8.count == 19)
        #expect(identity.statementID(" \n ") == nil)
        #expect(identity.statementID(" 1 ") == identity.prefix + "1")
        #expect(try #require(identity.statementID(String(repeating: "x", count: 237))).hasPrefix("f-"))
        #expect(try #require(identity.statementID(String(repeating: "x", count: 238))).hasPrefix("h-"))
        #expect(try #require(identity.statementID("a\u{7}b")).hasPrefix("h-"))
        #expect(SourceIdentity(key: "a").prefix != SourceIdentity(key: "b").prefix)
    }

    // MARK: Answers

    private func rules(_ url: String = "https://u:p@ex.org/feed", _ configuration: FetchConfiguration = .init()) throws
        -> FetchRules
    {
        FetchRules(source: try RemoteSource(url: url), configuration: configuration)
    }

    private func step(
        _ status: UInt,
        _ headers: [String: String] = [:],
        from url: String = "https://ex.org/feed",
        redirects: Int = 0,
        conditional: Bool = false,
        _ configuration: FetchConfiguration = .init()
    ) throws -> FetchRules.Step {
        try rules("https://u:p@ex.org/feed", configuration).step(
            status: status,
            from: try #require(URL(string: url)),
            header: { headers[$0] },
            redirects: redirects,
            wasConditional: conditional,
            now: Date(timeIntervalSince1970: 1_800_000_000)
        )
    }

    private func isFailure(_ step: FetchRules.Step, _ part: String) -> Bool {
        guard case .fail(let failure) = step else { return false }
        return failure.description.contains(part)
    }

    @Test("an answer is judged by its head")
    func heads() throws {
        #expect(try step(200) == .read)
        #expect(try step(304, conditional: true) == .unchanged)
        #expect(isFailure(try step(304), "304"))
        #expect(isFailure(try step(204), "204"))
        #expect(isFailure(try step(206), "206"))
        #expect(isFailure(try step(200, ["content-encoding": "br"]), "compressed in a way"))
        #expect(isFailure(try step(410), "gone for good"))
        #expect(isFailure(try step(200, ["content-length": "101"], .init(maxBytes: 100)), "larger than 100"))
        #expect(try step(200, ["content-length": "101", "content-encoding": "gzip"], .init(maxBytes: 100)) == .read)
    }

    @Test(
        "redirects are bounded, stay encrypted and lose what is not theirs",
        arguments: [301, 302, 303, 307, 308] as [UInt]
    )
    func redirects(_ status: UInt) throws {
        func target(_ location: String, from url: String = "https://ex.org/feed") throws -> FetchRules.Step {
            try step(status, ["location": location], from: url)
        }
        let follow = { (url: String) in FetchRules.Step.follow(try #require(URL(string: url))) }
        #expect(try target("/new?x=1#y") == follow("https://ex.org/new?x=1"))
        #expect(try target("//other.org/a") == follow("https://other.org/a"))
        #expect(try target("https://a:b@other.org/") == follow("https://other.org/"))
        #expect(try target("https://ex.org/a", from: "http://ex.org/") == follow("https://ex.org/a"))
        #expect(isFailure(try target("http://ex.org/a"), "https to http"))
        #expect(
            try step(status, ["location": "http://ex.org/a"], .init(allowsDowngrade: true)) == follow("http://ex.org/a")
        )
        #expect(isFailure(try target("file:///etc/passwd"), "not http"))
        #expect(isFailure(try target("javascript:x"), "not http"))
        #expect(isFailure(try step(status), "without an address"))
        #expect(isFailure(try step(status, ["location": "/x"], redirects: 5), "more than 5"))
    }

    @Test("credentials go to their own host alone")
    func credentials() throws {
        func may(_ source: String, _ url: String) throws -> Bool {
            try rules(source).mayKnowCredentials(try #require(URL(string: url)))
        }
        #expect(try may("https://u:p@ex.org/", "https://EX.org/other"))
        #expect(try may("http://u:p@ex.org/", "https://ex.org/"))
        #expect(try !may("https://u:p@ex.org/", "http://ex.org/"))
        #expect(try !may("https://u:p@ex.org/", "https://ex.org:8443/"))
        #expect(try !may("https://u:p@ex.org/", "https://www.ex.org/"))
        #expect(try !may("http://u:p@ex.org:8080/", "http://ex.org/"))
    }

    @Test("Retry-After is read in both forms and never makes an attempt earlier")
    func retryAfter() {
        let now = Date(timeIntervalSince1970: 784_111_777)  // Sun, 06 Nov 1994 08:49:37 GMT
        #expect(FetchRules.retryAfter("120", now: now) == .seconds(120))
        #expect(FetchRules.retryAfter("Sun, 06 Nov 1994 08:50:37 GMT", now: now) == .seconds(60))
        #expect(FetchRules.retryAfter("Sunday, 06-Nov-94 08:50:37 GMT", now: now) == .seconds(60))
        #expect(FetchRules.retryAfter("Sun Nov  6 08:50:37 1994", now: now) == .seconds(60))
        #expect(FetchRules.retryAfter("Sun, 06 Nov 1994 08:00:00 GMT", now: now) == .zero)
        #expect(FetchRules.retryAfter("-5", now: now) == nil)
        #expect(FetchRules.retryAfter("soon", now: now) == nil)
        #expect(FetchRules.retryAfter(String(repeating: "9", count: 400), now: now) == .seconds(3_153_600_000))
        let schedule = FetchSchedule(configuration: FetchConfiguration())
        #expect(schedule.delay(failures: 1, retryAfter: nil, random: 0) == .seconds(30))
        #expect(schedule.delay(failures: 1, retryAfter: nil, random: 1) == .seconds(15))
        #expect(schedule.delay(failures: 4, retryAfter: nil, random: 0) == .seconds(240))
        #expect(schedule.delay(failures: .max, retryAfter: nil, random: 0) == .seconds(3600))
        #expect(schedule.delay(failures: 1, retryAfter: .seconds(7200), random: 0) == .seconds(7200))
        #expect(schedule.delay(failures: 1, retryAfter: .seconds(1), random: 0) == .seconds(30))
        #expect(schedule.delay(failures: 1, retryAfter: .seconds(3_153_600_000), random: 0) == .seconds(86_400))
    }

    @Test("intervals vary by the jitter and no more")
    func intervals() {
        let schedule = FetchSchedule(configuration: FetchConfiguration(jitter: 0.1))
        #expect(schedule.delay(every: nil, random: 0.5) == nil)
        #expect(schedule.delay(every: .seconds(100), random: 0.5) == .seconds(100))
        #expect(schedule.delay(every: .seconds(100), random: 0).map { abs($0.inSeconds - 90) < 1e-6 } == true)
        #expect(schedule.delay(every: .seconds(100), random: 1).map { abs($0.inSeconds - 110) < 1e-6 } == true)
    }

    @Test("a content type is taken apart")
    func contentTypes() {
        #expect(ContentType("Text/XML; Charset=\"ISO-8859-1\"; q=1").charset == "ISO-8859-1")
        #expect(ContentType("Text/XML; Charset=x").mediaType == "text/xml")
        #expect(ContentType("application/rss+xml").isFeed)
        #expect(ContentType(nil).mediaType.isEmpty)
        #expect(!ContentType("text/csv").isFeed)
    }
}

import Messaging
import Testing

@testable import MessagingPipeline

@Suite struct LexiconAnalyzerTests {
    private func analyse(_ text: String) -> Analysis {
        LexiconAnalyzer().analyse(Statement(id: "1", text: text))
    }

    @Test(arguments: [
        ("up $1.5 billion", "$1.5 billion", 1.5e9, "USD"),
        ("spending $500k a day", "$500k", 500_000, "USD"),
        ("only €3bn left", "€3bn", 3e9, "EUR"),
        ("USD 5m or so", "USD 5m", 5e6, "USD"),
        ("10,000 dollars", "10,000 dollars", 10_000, "USD"),
        ("2 trillion yen now", "2 trillion yen", 2e12, "JPY"),
        ("a loss of -$5", "-$5", -5, "USD"),
    ])
    func money(text: String, mention: String, value: Double, unit: String) {
        #expect(analyse(text).mentions == [Mention(kind: .money, text: mention, value: value, unit: unit)])
    }

    @Test(arguments: [
        ("Trump 38%", "38%", 38, "percent"),
        ("14.5 percent", "14.5 percent", 14.5, "percent"),
        ("fell -0.5%", "-0.5%", -0.5, "percent"),
        ("a 17-point swing", "17-point", 17, "points"),
        ("27 pt lead", "27 pt", 27, "points"),
        ("by 25 basis points", "25 basis points", 25, "basis_points"),
        ("2 percentage points", "2 percentage points", 2, "points"),
    ])
    func shares(text: String, mention: String, value: Double, unit: String) {
        #expect(analyse(text).mentions == [Mention(kind: .percent, text: mention, value: value, unit: unit)])
    }

    @Test(arguments: [
        ("on 2016-11-08.", "2016-11-08"), ("on 11/8/2016", "11/8/2016"), ("Vote Nov. 8th, 2016!", "Nov. 8th, 2016"),
        ("since 8 November 2016", "8 November 2016"), ("by March 3 we", "March 3"),
    ])
    func days(text: String, mention: String) {
        #expect(analyse(text).mentions == [Mention(kind: .date, text: mention)])
    }

    @Test(arguments: ["we may 5 times", "1-2-3", "99/99/2016", "no 5", "3rd place", "500 miles", "$", "1.2.3%"])
    func noMentions(text: String) {
        #expect(analyse(text).mentions.isEmpty)
    }

    @Test func entities() {
        let found = analyse(
            "\"@FoxNews: Hillary Clinton and Trump's U.S. lead #MAGA #1 $AAPL https://t.co/x?a=b.\" give us News at Trump Tower"
        ).entities
        #expect(
            found == [
                Entity(kind: .handle, text: "foxnews"), Entity(kind: .hashtag, text: "maga"),
                Entity(kind: .person, text: "Donald Trump"), Entity(kind: .person, text: "Hillary Clinton"),
                Entity(kind: .place, text: "Trump Tower"), Entity(kind: .place, text: "United States"),
                Entity(kind: .ticker, text: "AAPL"), Entity(kind: .url, text: "https://t.co/x?a=b"),
            ]
        )
        #expect(analyse("join us").entities.isEmpty)
    }

    @Test func topicsAreSortedAndIncludeThoseOfTheWordsOfAPhrase() {
        #expect(analyse("The polls, jobs and a #tariff").topics == ["elections", "jobs", "trade"])
        #expect(analyse("a trade deal").topics == ["trade"])
        #expect(analyse("interest rates up").topics == ["monetary policy"])
    }

    @Test func sentiment() {
        #expect(analyse("a great victory").sentiment > 0.5)
        #expect(analyse("a total disaster, very sad").sentiment < -0.5)
        #expect(analyse("not good").sentiment < 0)
        #expect(analyse("No! Good").sentiment > 0)
        #expect(analyse("very good").sentiment > analyse("good").sentiment)
        #expect(analyse("the table").sentiment == 0)
        let much = analyse(String(repeating: "great ", count: 1000)).sentiment
        #expect(much > 0.99 && much <= 1)
    }

    @Test func marketRelevance() {
        let high = analyse("The Federal Reserve raised interest rates, the stock market fell").marketRelevance
        #expect(high > 0.9 && high <= 1)
        #expect(analyse("Thank you, see you tomorrow").marketRelevance == 0)
        #expect(analyse("$TSLA").marketRelevance == 0.6)
    }

    @Test func theAnswerIsTheSameEveryTime() throws {
        let text = "Great news: China tariffs 25% on $50bn, GOP polls & the Fed! @a #b $C"
        let first = try PipelineJSON.encode(analyse(text))
        for _ in 0..<20 { #expect(try PipelineJSON.encode(analyse(text)) == first) }
        #expect(try PipelineJSON.decode(Analysis.self, from: first) == analyse(text))
    }

    @Test(arguments: ["a\u{301}\u{323}", "\u{301}\u{323}", "中", "$1,", "@a ", "not good "])
    func longTextsTakeLinearTime(piece: String) {
        for start in ["", "@", "#", "http://"] {
            let text = start + String(repeating: piece, count: (1 << 16) / piece.utf8.count)
            let clock = ContinuousClock()
            let time = clock.measure { _ = analyse(text) }
            // A fraction of a second; what is quadratic needs minutes.
            #expect(time < .seconds(15))
        }
    }

    @Test(arguments: 0..<100 as Range<UInt64>)
    func anyTextIsAnalysed(seed: UInt64) {
        var generator = SeededGenerator(seed: seed)
        let pieces = [
            "@", "#", "$", "1", ",", ".", "-", "/", "%", " ", "May", "8", "th", "http://", "&#", "é", "中", "not", "'s",
        ]
        let text = (0..<200).map { _ in pieces.randomElement(using: &generator) ?? "" }.joined()
        let analysis = analyse(text)
        #expect((-1...1).contains(analysis.sentiment) && (0...1).contains(analysis.marketRelevance))
        #expect(analysis.mentions.allSatisfy { $0.value?.isFinite ?? true })
    }
}

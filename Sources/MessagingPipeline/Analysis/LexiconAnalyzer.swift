/// Analyses statements with lists of words: no model, no network, the same answer every time.
///
/// The sentiment is the sum s of the weights of the words that judge, brought into -1…1 by s / √(s² + 15) as VADER does
/// (Hutto and Gilbert, 2014, https://doi.org/10.1609/icwsm.v8i1.14550). An intensifier right before such a word
/// multiplies its weight; a negation among the three words before turns it and, as VADER has it, weakens it by 0.74. The
/// market relevance is the chance that at least one of the terms found, taken as independent, matters:
/// 1 - (1 - p₁)(1 - p₂)….
public struct LexiconAnalyzer: Analyzer {
    private static let chanceOfTicker = 0.6
    private static let chanceOfMoney = 0.2
    private static let chanceOfShare = 0.05

    private let negations: Set<String>
    private let topics: PhraseTable<[String]>
    private let sentiment: PhraseTable<Double>
    private let intensifiers: PhraseTable<Double>
    private let marketTerms: [String: Double]
    private let marketPhrases: PhraseTable<String>
    private let entities: EntityExtractor

    /// Creates an analyser.
    ///
    /// - Parameter lexicon: The words to judge by.
    public init(lexicon: Lexicon = .english) {
        negations = lexicon.negations
        var topicsOfWord: [String: [String]] = [:]
        for (topic, words) in lexicon.topics.sorted(by: { $0.key < $1.key }) {
            for word in words { topicsOfWord[word, default: []].append(topic) }
        }
        // A phrase hides the topics of its own words, so it takes them over.
        for phrase in topicsOfWord.keys where phrase.contains(" ") {
            for word in phrase.split(separator: " ") {
                topicsOfWord[phrase, default: []] += lexicon.topics.filter { $0.value.contains(String(word)) }.keys
            }
        }
        topics = PhraseTable(topicsOfWord.map { ($0.key, $0.value) })
        sentiment = PhraseTable(lexicon.sentiment.map { ($0.key, $0.value) })
        intensifiers = PhraseTable(lexicon.intensifiers.map { ($0.key, $0.value) })
        marketTerms = lexicon.marketTerms
        marketPhrases = PhraseTable(lexicon.marketTerms.keys.map { ($0, $0) })
        entities = EntityExtractor(lexicon)
    }

    /// Analyses one statement.
    ///
    /// - Parameter statement: The statement.
    /// - Returns: What was found.
    public func analyse(_ statement: Statement) -> Analysis {
        let tokens = Tokenizer.tokens(statement.text)
        // A hashtag is a word like others; what stands between words ends phrases.
        let words = tokens.map { token in
            switch token.kind {
            case .word: token.key
            case .hashtag: token.text.lowercased()
            default: ""
            }
        }
        let mentions = MentionExtractor.mentions(in: tokens)
        let entities = entities.entities(in: tokens)
        return Analysis(
            normalizedText: TextNormalizer.normalize(statement.text),
            topics: topics.matches(in: words).flatMap(\.value),
            entities: entities,
            mentions: mentions,
            sentiment: judge(words),
            marketRelevance: relevance(words, entities, mentions)
        )
    }

    private func judge(_ words: [String]) -> Double {
        var factorBefore: [Int: Double] = [:]
        for match in intensifiers.matches(in: words) { factorBefore[match.range.upperBound] = match.value }
        var sum = 0.0
        for match in sentiment.matches(in: words) {
            let start = match.range.lowerBound
            var weight = match.value * (factorBefore[start] ?? 1)
            // A negation does not reach across punctuation.
            let before = words[..<start].suffix(3).reversed().prefix { !$0.isEmpty }
            if before.contains(where: negations.contains) { weight *= -0.74 }
            sum += weight
        }
        return Self.rounded(sum / (sum * sum + 15).squareRoot())
    }

    private func relevance(_ words: [String], _ entities: [Entity], _ mentions: [Mention]) -> Double {
        let terms = Set(marketPhrases.matches(in: words).map(\.value)).sorted()
        var chanceOfNone = terms.reduce(1) { $0 * (1 - (marketTerms[$1] ?? 0)) }
        if entities.contains(where: { $0.kind == .ticker }) { chanceOfNone *= 1 - Self.chanceOfTicker }
        if mentions.contains(where: { $0.kind == .money }) { chanceOfNone *= 1 - Self.chanceOfMoney }
        if mentions.contains(where: { $0.kind == .percent }) { chanceOfNone *= 1 - Self.chanceOfShare }
        return Self.rounded(1 - chanceOfNone)
    }

    /// To four decimals, which is more than the numbers mean and keeps their JSON short.
    private static func rounded(_ value: Double) -> Double {
        (value * 10_000).rounded() / 10_000
    }
}

/// What was found out about a statement.
public struct Analysis: Sendable, Hashable, Codable {
    /// The text as ``TextNormalizer`` leaves it.
    public let normalizedText: String
    /// What the statement is about, sorted.
    public let topics: [String]
    /// Whom and what it names, sorted by kind and text, each once.
    public let entities: [Entity]
    /// The amounts, shares and days it mentions, in the order of the text.
    public let mentions: [Mention]
    /// How it judges, from -1 (against) to 1 (in favour).
    public let sentiment: Double
    /// How likely it is to matter to a market, from 0 (not at all) to 1.
    public let marketRelevance: Double

    private enum CodingKeys: String, CodingKey {
        case normalizedText = "normalized_text"
        case topics, entities, mentions, sentiment
        case marketRelevance = "market_relevance"
    }

    /// Creates an analysis.
    ///
    /// - Parameters:
    ///   - normalizedText: The normalised text.
    ///   - topics: What the statement is about, in any order.
    ///   - entities: Whom and what it names, in any order.
    ///   - mentions: What it mentions, in the order of the text.
    ///   - sentiment: How it judges; moved into -1…1, and 0 when it is not a number.
    ///   - marketRelevance: How likely it is to matter to a market; moved into 0…1, and 0 when it is not a number.
    public init(
        normalizedText: String,
        topics: [String] = [],
        entities: [Entity] = [],
        mentions: [Mention] = [],
        sentiment: Double = 0,
        marketRelevance: Double = 0
    ) {
        self.normalizedText = normalizedText
        self.topics = Set(topics).sorted()
        self.entities = Set(entities).sorted { ($0.kind.rawValue, $0.text) < ($1.kind.rawValue, $1.text) }
        self.mentions = mentions
        self.sentiment = sentiment.isNaN ? 0 : min(max(sentiment, -1), 1)
        self.marketRelevance = marketRelevance.isNaN ? 0 : min(max(marketRelevance, 0), 1)
    }
}

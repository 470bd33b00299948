/// The words by which ``LexiconAnalyzer`` judges a text.
///
/// Words and phrases are in lower case, the words of a phrase separated by single spaces; apostrophes are those of a
/// typewriter. A word does not stand for its other forms, so those are listed, too.
public struct Lexicon: Sendable {
    /// A name that somebody or something goes by.
    public struct Name: Sendable, Hashable {
        /// What the name is of.
        public let kind: Entity.Kind
        /// The usual name.
        public let text: String
        /// Whether the name counts only when all of it is in capitals, as `US` unlike `us`.
        public let isAllCapitals: Bool

        /// Creates a name.
        ///
        /// - Parameters:
        ///   - kind: What the name is of.
        ///   - text: The usual name.
        ///   - isAllCapitals: Whether it counts only in capitals.
        public init(kind: Entity.Kind, text: String, isAllCapitals: Bool = false) {
            self.kind = kind
            self.text = text
            self.isAllCapitals = isAllCapitals
        }
    }

    /// The words and phrases of each topic.
    public var topics: [String: Set<String>]
    /// How far a word or phrase judges, from -4 (against) to 4 (in favour).
    public var sentiment: [String: Double]
    /// Words that turn the judgement of what follows into its opposite.
    public var negations: Set<String>
    /// How much stronger (above 1) or weaker (below 1) a word makes the one that follows.
    public var intensifiers: [String: Double]
    /// How likely a word or phrase makes it that a statement matters to a market, from 0 to 1.
    public var marketTerms: [String: Double]
    /// The names of people, organisations and places.
    public var names: [String: Name]

    /// Creates a lexicon.
    ///
    /// - Parameters:
    ///   - topics: The words and phrases of each topic.
    ///   - sentiment: How far words judge, from -4 to 4.
    ///   - negations: Words that turn a judgement into its opposite.
    ///   - intensifiers: Factors by which words strengthen the next one.
    ///   - marketTerms: How likely words matter to a market, from 0 to 1.
    ///   - names: The names of people, organisations and places.
    public init(
        topics: [String: Set<String>] = [:],
        sentiment: [String: Double] = [:],
        negations: Set<String> = [],
        intensifiers: [String: Double] = [:],
        marketTerms: [String: Double] = [:],
        names: [String: Name] = [:]
    ) {
        self.topics = topics
        self.sentiment = sentiment
        self.negations = negations
        self.intensifiers = intensifiers
        self.marketTerms = marketTerms
        self.names = names
    }
}

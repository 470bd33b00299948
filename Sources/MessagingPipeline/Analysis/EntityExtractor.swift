/// Finds whom and what a text names.
struct EntityExtractor: Sendable {
    /// The most entities of one statement that are kept.
    static let limit = 256

    private let names: PhraseTable<Lexicon.Name>

    init(_ lexicon: Lexicon) {
        names = PhraseTable(lexicon.names.sorted { $0.key < $1.key }.map { ($0.key, $0.value) })
    }

    /// The entities in the order of the text, each once.
    func entities(in tokens: [Token]) -> [Entity] {
        var found: [Entity] = []
        var seen: Set<Entity> = []
        func add(_ entity: Entity) {
            if found.count < Self.limit, seen.insert(entity).inserted { found.append(entity) }
        }
        for token in tokens {
            switch token.kind {
            case .handle: add(Entity(kind: .handle, text: token.text.lowercased()))
            case .hashtag: add(Entity(kind: .hashtag, text: token.text.lowercased()))
            case .ticker: add(Entity(kind: .ticker, text: token.text))
            case .url: add(Entity(kind: .url, text: token.text))
            case .word, .number, .symbol: break
            }
        }
        // Points are left out, so that U.S. is found as well as US; other symbols keep names apart.
        let words = tokens.filter { $0.text != "." }
        let keys = words.map { $0.kind == .word ? $0.key : "" }
        let matches = names.matches(in: keys) { match in
            let isNamed = words[match.range].allSatisfy { Self.startsUppercase($0.text) || $0.key == "the" }
            return isNamed
                && (!match.value.isAllCapitals || words[match.range].allSatisfy { Self.isUppercase($0.text) })
        }
        for match in matches { add(Entity(kind: match.value.kind, text: match.value.text)) }
        return found
    }

    /// A name begins with a capital, or with something from a script that has none.
    private static func startsUppercase(_ text: String) -> Bool {
        text.unicodeScalars.first.map { !$0.properties.isLowercase } ?? false
    }

    private static func isUppercase(_ text: String) -> Bool {
        text.unicodeScalars.allSatisfy { !$0.properties.isLowercase }
    }
}

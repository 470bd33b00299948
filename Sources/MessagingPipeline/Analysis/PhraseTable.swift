/// Finds phrases of up to a few words in a text; where several begin, the longest counts.
struct PhraseTable<Value: Sendable>: Sendable {
    private struct Phrase: Sendable {
        let words: [String]
        let value: Value
    }

    struct Match {
        let range: Range<Int>
        let value: Value
    }

    private var phrases: [String: [Phrase]] = [:]

    /// Phrases are in lower case, their words separated by spaces.
    init(_ entries: some Sequence<(phrase: String, value: Value)>) {
        for entry in entries {
            let words = entry.phrase.split(separator: " ").map(String.init)
            guard let first = words.first else { continue }
            phrases[first, default: []].append(Phrase(words: words, value: entry.value))
        }
        for first in phrases.keys {
            phrases[first]?.sort { $0.words.count > $1.words.count }
        }
    }

    /// The matches in the order of the text; no two share a word.
    func matches(in words: [String], where isAccepted: (Match) -> Bool = { _ in true }) -> [Match] {
        var matches: [Match] = []
        var index = 0
        while index < words.count {
            let match = phrases[words[index]]?.lazy
                .filter { words[index...].starts(with: $0.words) }
                .map { Match(range: index..<(index + $0.words.count), value: $0.value) }
                .first(where: isAccepted)
            if let match { matches.append(match) }
            index = match?.range.upperBound ?? index + 1
        }
        return matches
    }
}

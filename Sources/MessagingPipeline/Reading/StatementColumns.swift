import Foundation

/// Which columns of a CSV input hold what.
struct StatementColumns: Sendable {
    static let idNames = ["id", "tweet_id", "id_str", "guid", "statement_id"]
    static let textNames = ["text", "full_text", "content", "statement", "body", "message"]
    static let dateNames = ["created_at", "date", "timestamp", "published_at", "time"]
    static let sourceNames = ["source"]

    let count: Int
    let id: [Int]
    let text: [Int]
    let date: [Int]
    let source: [Int]

    /// Fails when no column is for the text.
    init?(header: [String]) {
        let names = header.map {
            $0.utf8.count > FlatJSONObject.nameLimit ? "" : $0.trimmingCharacters(in: .whitespaces).lowercased()
        }
        let indices = { (synonyms: [String]) in synonyms.compactMap { names.firstIndex(of: $0) } }
        count = header.count
        id = indices(Self.idNames)
        text = indices(Self.textNames)
        date = indices(Self.dateNames)
        source = indices(Self.sourceNames)
        if text.isEmpty { return nil }
    }
}

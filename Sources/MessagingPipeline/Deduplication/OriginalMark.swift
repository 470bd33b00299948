/// One thing that a verdict says: a text has an original no later than this one.
///
/// A store keeps the earliest for each text, which gives the same in whatever order marks come.
public struct OriginalMark: Sendable, Hashable {
    /// The name of the text.
    public let text: String
    /// The order of the original.
    public let order: String
    /// The id of the original.
    public let id: String
}

extension JudgedStatement {
    /// The name of the statement's text; its own id when the verdict has none.
    public var text: String { verdict.text ?? analysed.statement.id }

    /// What the verdict says of originals, at most once for each text.
    public var marks: [OriginalMark] {
        let id = analysed.statement.id
        var own = OriginalMark(text: text, order: verdict.order, id: id)
        if let original = verdict.duplicateOf {
            let order = verdict.duplicateOfOrder ?? ""
            if order < own.order { own = OriginalMark(text: text, order: order, id: original) }
        }
        return [own]
            + Set(verdict.supersedes).subtracting([text]).sorted().map {
                OriginalMark(text: $0, order: verdict.order, id: id)
            }
    }
}

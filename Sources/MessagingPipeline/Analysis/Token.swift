/// A piece of a text.
struct Token: Sendable, Hashable {
    enum Kind: Sendable, Hashable {
        /// Letters with their marks, and digits after the first letter.
        case word
        /// Digits with points and commas between them.
        case number
        /// Without their signs.
        case handle, hashtag, ticker
        case url
        /// One scalar of anything else.
        case symbol
    }

    let kind: Kind
    let text: String
    /// The text in lower case, for words.
    let key: String
    let hasSpaceBefore: Bool
}

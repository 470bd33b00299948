/// Somebody or something a statement names.
public struct Entity: Sendable, Hashable, Codable {
    /// What an entity is.
    public enum Kind: String, Sendable, Hashable, Codable, CaseIterable {
        /// Known by name.
        case person, organisation, place
        /// Written with a sign: `@name`, `#name`, `$NAME`.
        case handle, hashtag, ticker
        /// An address on the web.
        case url
    }

    /// What the entity is.
    public let kind: Kind
    /// The usual name of a person, organisation or place; a handle or hashtag in lower case without its sign; a ticker
    /// without its sign; an address as it is written.
    public let text: String

    /// Creates an entity.
    ///
    /// - Parameters:
    ///   - kind: What it is.
    ///   - text: Its name.
    public init(kind: Kind, text: String) {
        self.kind = kind
        self.text = text
    }
}

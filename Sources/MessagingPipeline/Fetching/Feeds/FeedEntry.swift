/// One entry of a feed as it is written, before anything is decided about it.
struct FeedEntry: Equatable {
    /// A piece of text and how it is to be understood.
    struct Text: Equatable {
        enum Kind: Equatable {
            /// Just text.
            case plain
            /// HTML.
            case html
            /// Text that may hold HTML, as in RSS, which does not say.
            case either
        }

        var kind: Kind
        var value: String

        init(_ kind: Kind, _ value: String) {
            self.kind = kind
            self.value = value
        }

        /// What there is to read.
        var plain: String {
            switch kind {
            case .plain: HTMLText.tidied(value)
            case .html: HTMLText.plain(value, tags: .all)
            case .either: HTMLText.plain(value, tags: .known)
            }
        }
    }

    /// The number of the entry in the feed, from 1.
    var number: Int
    /// The number of the line on which the entry starts, from 1.
    var line: Int
    /// The name that the feed gives the entry.
    var id: String?
    /// Whether the feed says that the name is an address.
    var isPermanentLink = false
    /// The address of the entry, absolute where that could be worked out.
    var link: String?
    var title: Text?
    var summary: Text?
    var content: Text?
    /// A description of what is attached, for entries that have no text.
    var caption: Text?
    /// The dates as they are written, the most telling one first.
    var dates: [String] = []

    init(number: Int, line: Int) {
        self.number = number
        self.line = line
    }
}

/// A feed as it is written.
struct FeedDocument: Equatable {
    /// Where the document stops making sense.
    struct Break: Equatable {
        var line: Int
        var reason: String
    }

    /// The address of the site that the feed is about.
    var link: String?
    /// The entries that are complete.
    var entries: [FeedEntry] = []
    /// Where the document breaks off, with whatever entries were to follow.
    var brokenAt: Break?
}

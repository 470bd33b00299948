/// Finds, among the texts that share a bucket with a new one, those that its verdict needs.
///
/// It compares no more than it must: of many similar texts that came in the order of their time only the first. A store
/// offers it the texts of each bucket by the time of their earliest statements, from the first on until there is
/// ``isDone(at:)``, and then those from the time of the inserted statement on.
public struct TextSearch: Sendable {
    /// What the search made of a text.
    public enum Finding: Sendable, Hashable {
        /// The text does not matter.
        case nothing
        /// The earliest statement of the text is the earliest found so far that says the same and is earlier.
        case original
        /// The text says the same and has the new statement as its original from now on.
        case superseded
    }

    private let order: String
    private var best: String
    private var bestTime: Int64

    /// Begins a search.
    ///
    /// - Parameter order: ``Fingerprint/order`` of the statement that is inserted, the earliest of its text.
    public init(order: String) {
        self.order = order
        best = order
        bestTime = Fingerprint.time(ofOrder: order)
    }

    /// The order of the earliest statement that says the same, the inserted one included.
    public var original: String { best }

    /// Tells whether no text can be the original any more.
    ///
    /// - Parameter time: The time of the earliest statement of the next text.
    /// - Returns: Whether that text, and every later one, can at most be superseded.
    public func isDone(at time: Int64) -> Bool { time > bestTime }

    /// Looks at one text.
    ///
    /// - Parameters:
    ///   - earliest: The order of its earliest statement.
    ///   - original: The order of the earliest statement that is known to say the same as the text, itself included.
    ///   - saysTheSame: Whether the text says the same; only asked when it matters.
    /// - Returns: What the text means for the verdict. A text that is `superseded` gets the order of the inserted statement
    ///   for its original.
    public mutating func look(
        earliest: String,
        original: String,
        saysTheSame: () throws -> Bool
    ) rethrows -> Finding {
        if earliest < best {
            guard try saysTheSame() else { return .nothing }
            best = earliest
            bestTime = Fingerprint.time(ofOrder: earliest)
            return .original
        }
        // An original that is the inserted statement itself was found by an insert before, whose answer may be lost.
        guard original >= order, earliest > order, try saysTheSame() else { return .nothing }
        return .superseded
    }
}

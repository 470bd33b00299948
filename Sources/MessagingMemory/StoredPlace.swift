/// Where in a queue a stored message is, as the text of its id.
struct StoredPlace: Hashable, Comparable, Sendable {
    enum Kind: String, Sendable {
        /// Ready or in flight: it can only be looked at.
        case held = "h"
        case waiting = "w"
        case scheduled = "s"
        case dead = "d"
    }

    let kind: Kind
    let group: Int
    let number: UInt64

    init(kind: Kind, group: Int, number: UInt64) {
        self.kind = kind
        self.group = group
        self.number = number
    }

    init?(_ text: String) {
        let parts = text.split(separator: "-", omittingEmptySubsequences: false)
        guard parts.count == 3, let kind = Kind(rawValue: String(parts[0])), let group = Int(parts[1]), group >= 0,
            let number = UInt64(parts[2])
        else { return nil }
        self.init(kind: kind, group: group, number: number)
    }

    static func < (left: StoredPlace, right: StoredPlace) -> Bool {
        (left.kind.rawValue, left.number, left.group) < (right.kind.rawValue, right.number, right.group)
    }

    var text: String { "\(kind.rawValue)-\(group)-\(number)" }
}

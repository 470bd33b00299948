import Foundation

/// Makes ids of statements of the ids that a source uses.
///
/// An id that is meant for the whole world (an address with a host, a URN, a tag URI, a UUID) stays as it is. Any other
/// one, such as `1`, gets the source's own prefix, so that two sources can use the same one. The prefix does not depend
/// on the password of the source, nor on whether it is read over http or https.
struct SourceIdentity: Sendable, Hashable {
    /// What stands before ids that are the source's own: `f-`, sixteen hexadecimal digits and a colon.
    let prefix: String

    /// - Parameter key: What the source is called by.
    init(key: String) {
        let digits = String(StableHash.hash64(key.utf8), radix: 16)
        prefix = "f-" + String(repeating: "0", count: 16 - digits.utf8.count) + digits + ":"
    }

    /// The id of the statement.
    ///
    /// - Parameters:
    ///   - given: The id as the source writes it.
    ///   - isGlobal: Whether an id that looks like one for the whole world is.
    /// - Returns: An id within the limits of statements; nil for a blank one.
    func statementID(_ given: String, isGlobal: Bool = true) -> String? {
        let trimmed = given.trimmingCharacters(in: .whitespacesAndNewlines)
        guard !trimmed.isEmpty else { return nil }
        let id = isGlobal && Self.isGlobal(trimmed) ? trimmed : prefix + trimmed
        let isUsable =
            id.utf8.count <= StatementBuilder.idLimit
            && id.unicodeScalars.allSatisfy { $0.properties.generalCategory != .control }
        return isUsable ? id : "h-" + StableHash.hex128(id.utf8)
    }

    /// Whether an id means the same everywhere.
    static func isGlobal(_ id: String) -> Bool {
        let lower = id.prefix(512).lowercased()
        for scheme in ["http://", "https://"] where lower.hasPrefix(scheme) {
            let host = lower.dropFirst(scheme.utf8.count).prefix { $0 != "/" && $0 != "?" && $0 != "#" }
            return host.contains(".") && !host.hasPrefix(".")
        }
        for scheme in ["urn:", "tag:"] where lower.hasPrefix(scheme) {
            // urn:<namespace>:<name> and tag:<authority>,<date>:<name>
            let rest = lower.dropFirst(4).split(separator: ":", maxSplits: 1)
            return rest.count == 2
        }
        return UUID(uuidString: id) != nil
    }
}

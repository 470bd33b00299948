/// Which names queues, groups and consumers may have.
///
/// One rule for all backends, so that a name that works today works after a move: 1 to 200 ASCII letters, digits and
/// `. _ - : /`, beginning with a letter or digit. Redis would read `{}` as a hash tag, Kafka and AMQP restrict or give
/// meaning to most of the rest.
public enum NameRules {
    /// The longest name, in characters.
    public static let maxLength = 200

    /// Tells whether a name keeps the rules.
    ///
    /// - Parameter name: The name.
    /// - Returns: Whether it may be used.
    public static func isValid(_ name: String) -> Bool { problem(name) == nil }

    /// Checks a queue's name.
    ///
    /// - Parameter name: The name.
    /// - Throws: `QueueError` with the code `invalidName` that says what is wrong.
    public static func validate(queue name: String) throws(QueueError) {
        if let problem = problem(name) {
            throw QueueError(.invalidName, "queue name \(quoted(name)) \(problem)", queue: nil)
        }
    }

    /// Checks a group's name.
    ///
    /// - Parameters:
    ///   - name: The name.
    ///   - queue: The queue it belongs to, for the error.
    /// - Throws: `QueueError` with the code `invalidName` that says what is wrong.
    public static func validate(group name: String, queue: String) throws(QueueError) {
        if let problem = problem(name) {
            throw QueueError(.invalidName, "group name \(quoted(name)) \(problem)", queue: queue)
        }
    }

    /// Checks a consumer's name.
    ///
    /// - Parameters:
    ///   - name: The name.
    ///   - queue: The queue it consumes, for the error.
    /// - Throws: `QueueError` with the code `invalidName` that says what is wrong.
    public static func validate(consumer name: String, queue: String) throws(QueueError) {
        if let problem = problem(name) {
            throw QueueError(.invalidName, "consumer name \(quoted(name)) \(problem)", queue: queue)
        }
    }

    private static func problem(_ name: String) -> String? {
        guard let first = name.utf8.first else { return "is empty; give it 1 to \(maxLength) characters" }
        guard name.utf8.count <= maxLength else { return "is longer than \(maxLength) characters" }
        for scalar in name.unicodeScalars where !isAllowed(scalar) {
            let shown = scalar == " " ? "a space" : quoted(String(scalar))
            return "contains \(shown); use letters, digits and . _ - : /"
        }
        guard isAlphanumeric(first) else { return "must begin with a letter or digit" }
        return nil
    }

    private static func isAllowed(_ scalar: Unicode.Scalar) -> Bool {
        guard let byte = UInt8(exactly: scalar.value) else { return false }
        return isAlphanumeric(byte) || [".", "_", "-", ":", "/"].contains(scalar)
    }

    private static func isAlphanumeric(_ byte: UInt8) -> Bool {
        switch byte {
        case UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
            UInt8(ascii: "a")...UInt8(ascii: "z"):
            true
        default: false
        }
    }

    /// Quotes outside text for an error: shortened, and without characters that would confuse a terminal.
    static func quoted(_ text: String) -> String {
        let safe = text.unicodeScalars.prefix(60).map { scalar in
            scalar.properties.generalCategory == .control ? "\u{FFFD}" : String(scalar)
        }
        return "'\(safe.joined())\(text.unicodeScalars.count > 60 ? "…" : "")'"
    }
}

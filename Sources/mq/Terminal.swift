/// What stdout or stderr is connected to, and what may be sent there.
struct Terminal: Sendable, Equatable {
    /// Whether a person reads it.
    var isTerminal: Bool
    /// Whether colours may be used.
    var hasColor: Bool
    /// The width in columns; `nil` when it is no terminal.
    var columns: Int?

    /// Nothing but text, for files and pipes.
    static let none = Terminal(isTerminal: false, hasColor: false, columns: nil)

    /// Looks at a file descriptor.
    ///
    /// `NO_COLOR` (https://no-color.org) and `TERM=dumb` turn colours off.
    static func of(_ descriptor: Int32, noColor: Bool, environment: [String: String]) -> Terminal {
        guard POSIX.isTerminal(descriptor) else { return .none }
        return Terminal(
            isTerminal: true,
            hasColor: allowsColor(noColor: noColor, environment: environment),
            columns: POSIX.columns(descriptor)
        )
    }

    static func allowsColor(noColor: Bool, environment: [String: String]) -> Bool {
        !noColor && (environment["NO_COLOR"] ?? "").isEmpty && environment["TERM"] != "dumb"
    }

    enum Style: String {
        case bold = "1"
        case red = "31"
        case green = "32"
        case yellow = "33"
        case dim = "2"
    }

    func styled(_ text: String, _ style: Style) -> String {
        hasColor ? "\u{1B}[\(style.rawValue)m\(text)\u{1B}[0m" : text
    }
}

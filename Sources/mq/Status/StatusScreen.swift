/// Draws on a terminal in place: on the alternate screen, so that what was there before comes back.
///
/// A frame is one write that overwrites the one before it line by line and clears nothing first, so it does not flicker.
enum StatusScreen {
    /// Switches to the alternate screen and hides the cursor.
    static let enter = "\u{1B}[?1049h\u{1B}[?25l"
    /// Shows the cursor and what was on the screen before.
    static let leave = "\u{1B}[?25h\u{1B}[?1049l"

    /// One frame: from the top left corner, the rest of each line and what is below it cleared.
    static func frame(_ lines: [String]) -> String {
        "\u{1B}[H" + lines.joined(separator: "\u{1B}[K\r\n") + "\u{1B}[K\u{1B}[J"
    }
}

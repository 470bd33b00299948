/// A mistake that was made by hand in what a backend ships, and the case of the suite that must find it.
package struct Breakage<Change: Sendable>: Sendable, CustomStringConvertible {
    /// A short name, in lower case with hyphens.
    package let name: String
    /// The mistake.
    package let change: Change
    /// The case that finds it.
    package let foundBy: String

    /// Creates a mistake.
    package init(_ name: String, _ change: Change, foundBy: String) {
        self.name = name
        self.change = change
        self.foundBy = foundBy
    }

    /// The name.
    package var description: String { name }

    /// A line of the table of mistakes: the name, the case, and the beginning of what it said.
    package func row(_ said: String?) -> String {
        let verdict = said.map { "found: \($0.split(separator: "\n").first.map(String.init) ?? "")" } ?? "NOT FOUND"
        return "breakage \(padded(name, 34)) \(padded(foundBy, 18)) \(verdict.prefix(150))"
    }

    private func padded(_ text: String, _ width: Int) -> String {
        text + String(repeating: " ", count: max(0, width - text.count))
    }
}

import Yams

/// Reads a configuration file: YAML, of which JSON is a part.
///
/// Strict: an unknown key, a value of another type or out of range, and a variable that is not set are problems, all of
/// which are found in one go. No value is ever repeated in a message.
struct ConfigReader {
    private let environment: [String: String]
    private(set) var problems: [ConfigProblem] = []
    private(set) var leaves: [String: String] = [:]

    private init(environment: [String: String]) { self.environment = environment }

    /// Reads a file's text.
    ///
    /// - Parameters:
    ///   - text: The text.
    ///   - name: The file's name for messages.
    ///   - environment: What `${NAME}` stands for.
    /// - Returns: What the file says.
    /// - Throws: `ConfigError` with all that is wrong.
    static func read(_ text: String, name: String, environment: [String: String]) throws(ConfigError) -> ConfigFile {
        let root: Node?
        do {
            root = try compose(yaml: text)
        } catch {
            throw ConfigError(file: name, problems: [syntax(error)])
        }
        var reader = ConfigReader(environment: environment)
        var file = ConfigFile(name: name)
        if let root {
            reader.file(root, into: &file)
        } else {
            reader.problem(nil, "", "is empty; write 'backend: redis', for example")
        }
        guard reader.problems.isEmpty else {
            let sorted = reader.problems.sorted { ($0.line, $0.column) < ($1.line, $1.column) }
            throw ConfigError(file: name, problems: sorted)
        }
        file.leaves = reader.leaves
        return file
    }

    private mutating func file(_ root: Node, into file: inout ConfigFile) {
        let keys = Settings.keys.keys.sorted()
        guard let members = mapping(root, "", allowed: keys + ["pipeline"]) else { return }
        for key in keys {
            guard let node = members[key], let value = text(node, key) else { continue }
            file.values[key] = key == "backend" ? backend(value, node, key) : value
        }
        if let node = members["pipeline"] { file.pipeline = pipeline(node) }
    }

    /// Checks the name of a backend or the scheme of its URL.
    mutating func backend(_ value: String, _ node: Node, _ key: String) -> String? {
        do {
            _ = try Backends.kind(of: Settings.Value(text: value, source: "the file"))
            return value
        } catch {
            problem(node, key, (error as? CLIError)?.description ?? "is no backend")
            return nil
        }
    }

    // MARK: - Problems

    mutating func problem(_ node: Node?, _ key: String, _ message: String) {
        problems.append(
            ConfigProblem(line: node?.mark?.line ?? 1, column: node?.mark?.column ?? 1, key: key, message: message)
        )
    }

    /// The words of libyaml are fixed and hold nothing of the file; Yams adds the text, which stays out.
    private static func syntax(_ error: any Error) -> ConfigProblem {
        func problem(_ mark: Mark, _ message: String) -> ConfigProblem {
            ConfigProblem(line: mark.line, column: mark.column, key: "", message: message)
        }
        switch error as? YamlError {
        case .scanner(_, let text, let mark, _), .parser(_, let text, let mark, _), .composer(_, let text, let mark, _):
            return problem(mark, "is not valid YAML: \(text)")
        case .duplicatedKeysInMapping(let keys, let context):
            let names = keys.map { "'\(Format.shortened(Redacted.text($0), to: 40))'" }.joined(separator: ", ")
            return problem(context.mark, "\(names) is there twice; keep one")
        default: return ConfigProblem(line: 1, column: 1, key: "", message: "is not valid YAML in UTF-8")
        }
    }

    // MARK: - Shapes

    /// Reads a mapping: its keys are text, and each is one of those that are allowed.
    ///
    /// - Returns: The values; `nil` when it is no mapping. An empty value is an empty mapping.
    mutating func mapping(_ node: Node, _ key: String, allowed: [String]) -> [String: Node]? {
        if !key.isEmpty { leaves[key] = "" }
        if isNull(node), !key.isEmpty { return [:] }
        guard case .mapping(let mapping) = node else {
            problem(node, key, "a mapping with the keys \(list(allowed)) is expected, not \(kind(node))")
            return nil
        }
        var members: [String: Node] = [:]
        for (name, value) in mapping {
            guard case .scalar(let scalar) = name else {
                problem(name, key, "a key must be text")
                continue
            }
            if allowed.contains(scalar.string) {
                members[scalar.string] = value
            } else {
                let shown = Format.shortened(Redacted.text(scalar.string), to: 40)
                problem(name, key, "unknown key '\(shown)'; allowed here: \(list(allowed))")
            }
        }
        return members
    }

    /// Reads a list.
    mutating func sequence(_ node: Node, _ key: String, of what: String) -> [Node]? {
        if isNull(node) { return [] }
        guard case .sequence(let sequence) = node else {
            problem(node, key, "a list of \(what) is expected, not \(kind(node))")
            return nil
        }
        return Array(sequence)
    }

    /// Reads text; a number or a word with a meaning of its own needs quotes.
    mutating func text(_ node: Node, _ key: String) -> String? {
        guard let value = scalar(node, key, "text") else { return nil }
        guard value.isText || value.isExpanded else {
            problem(node, key, "text is expected, not \(kind(node)); put it in quotes if it is meant as text")
            return nil
        }
        guard !value.text.isEmpty else {
            problem(node, key, "is empty; give a value or leave the key out")
            return nil
        }
        return value.text
    }

    /// Reads a whole number.
    mutating func integer(_ node: Node, _ key: String, _ range: ClosedRange<Int>) -> Int? {
        let expected = "a whole number from \(range.lowerBound) to \(range.upperBound)"
        guard let value = scalar(node, key, expected) else { return nil }
        guard !value.isQuoted || value.isExpanded, let number = Int(value.text), range ~= number else {
            problem(node, key, "\(expected) is expected")
            return nil
        }
        return number
    }

    /// Reads a number.
    mutating func number(_ node: Node, _ key: String, _ range: ClosedRange<Double>) -> Double? {
        let expected = "a number from \(range.lowerBound) to \(range.upperBound)"
        guard let value = scalar(node, key, expected) else { return nil }
        guard !value.isQuoted || value.isExpanded, let number = Double(value.text), range ~= number else {
            problem(node, key, "\(expected) is expected")
            return nil
        }
        return number
    }

    /// Reads true or false.
    mutating func boolean(_ node: Node, _ key: String) -> Bool? {
        guard let value = scalar(node, key, "true or false") else { return nil }
        guard !value.isQuoted || value.isExpanded, let flag = Bool(value.text) else {
            problem(node, key, "true or false is expected")
            return nil
        }
        return flag
    }

    /// Reads a time span with a unit.
    mutating func duration(_ node: Node, _ key: String, _ range: ClosedRange<Duration>) -> Duration? {
        let limits = "from \(Format.age(range.lowerBound)) to \(Format.age(range.upperBound))"
        let expected = "a duration \(limits), such as 500ms, 5s, 2m or 1h,"
        guard let value = scalar(node, key, expected) else { return nil }
        guard let duration = try? DurationArgument.parse(value.text), range ~= duration else {
            problem(node, key, "\(expected) is expected")
            return nil
        }
        return duration
    }

    /// Reads one of some words.
    mutating func word<Word: RawRepresentable<String> & CaseIterable>(
        _ node: Node,
        _ key: String,
        _ type: Word.Type
    ) -> Word? {
        let expected = "one of \(list(Word.allCases.map(\.rawValue)))"
        guard let value = scalar(node, key, expected) else { return nil }
        guard let word = Word(rawValue: value.text) else {
            problem(node, key, "\(expected) is expected")
            return nil
        }
        return word
    }

    // MARK: - Scalars

    private struct Scalar {
        let text: String
        let isText: Bool
        let isQuoted: Bool
        let isExpanded: Bool
    }

    private mutating func scalar(_ node: Node, _ key: String, _ expected: String) -> Scalar? {
        guard case .scalar(let scalar) = node else {
            problem(node, key, "\(expected) is expected, not \(kind(node))")
            return nil
        }
        if isNull(node) {
            problem(node, key, "is empty; give a value or leave the key out")
            return nil
        }
        let text: String
        do throws(Expansion.Failure) {
            text = try Expansion.expand(scalar.string, environment)
        } catch {
            problem(node, key, error.description)
            return nil
        }
        leaves[key] = text
        return Scalar(
            text: text,
            isText: node.tag == Tag(.str),
            isQuoted: scalar.style == .singleQuoted || scalar.style == .doubleQuoted,
            isExpanded: text != scalar.string
        )
    }

    private func isNull(_ node: Node) -> Bool { node.tag == Tag(.null) }

    /// What a value is, in a word that does not tell the value.
    private func kind(_ node: Node) -> String {
        switch node {
        case .mapping: return "a mapping"
        case .sequence: return "a list"
        case .alias: return "an alias"
        case .scalar:
            switch node.tag {
            case Tag(.null): return "nothing"
            case Tag(.bool): return "true or false"
            case Tag(.int), Tag(.float): return "a number"
            case Tag(.timestamp): return "a date"
            default: return "text"
            }
        }
    }

    private func list(_ words: [String]) -> String { words.joined(separator: ", ") }
}

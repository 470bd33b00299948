/// One thing that is wrong with a configuration file.
struct ConfigProblem: Sendable, Equatable, CustomStringConvertible {
    let line: Int
    let column: Int
    /// The key, such as `pipeline.layers.analysis.workers`; empty for the file as a whole.
    let key: String
    /// What is wrong and what is allowed; never the value, which may be a secret.
    let message: String

    var description: String { "\(line):\(column): \(key.isEmpty ? "" : "\(key): ")\(message)" }
}

/// A configuration file that cannot be used, with everything that is wrong with it.
struct ConfigError: Error, Equatable {
    let file: String
    let problems: [ConfigProblem]

    private static let shown = 50

    /// One line for each problem, with its position.
    var lines: [String] {
        let all = problems.prefix(Self.shown).map { "\(file):\($0)" }
        let rest = problems.count - all.count
        return rest > 0 ? all + ["\(file): and \(rest) more problems"] : all
    }
}

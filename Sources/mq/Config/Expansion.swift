/// `${NAME}` in the values of a configuration file, so that credentials can stay outside it.
enum Expansion {
    /// Why a value cannot be expanded; names the variable, never a value.
    enum Failure: Error, Equatable, CustomStringConvertible {
        case missing(String)
        case malformed

        var description: String {
            switch self {
            case .missing(let name): "the environment variable \(name) is not set"
            case .malformed: "'${' begins a variable such as ${NAME}; write '$${' for the characters themselves"
            }
        }
    }

    /// Puts the variables' values in the place of `${NAME}`; `$${` stands for `${`, every other `$` for itself.
    ///
    /// What a variable holds is not expanded again.
    static func expand(_ text: String, _ environment: [String: String]) throws(Failure) -> String {
        var result = ""
        var rest = Substring(text)
        while let dollar = rest.firstRange(of: "${") {
            let before = rest[..<dollar.lowerBound]
            if before.hasSuffix("$") {
                result += before.dropLast() + "${"
                rest = rest[dollar.upperBound...]
                continue
            }
            result += before
            rest = rest[dollar.upperBound...]
            guard let end = rest.firstIndex(of: "}") else { throw .malformed }
            let name = String(rest[..<end])
            guard isName(name) else { throw .malformed }
            guard let value = environment[name] else { throw .missing(name) }
            result += value
            rest = rest[rest.index(after: end)...]
        }
        return result + rest
    }

    private static func isName(_ name: String) -> Bool {
        guard let first = name.utf8.first, !(UInt8(ascii: "0")...UInt8(ascii: "9") ~= first) else { return false }
        return name.utf8.count <= 200
            && name.allSatisfy { $0.isASCII && ($0.isLetter || $0.isNumber || $0 == "_") }
    }
}

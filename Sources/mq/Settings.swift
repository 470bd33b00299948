#if canImport(FoundationEssentials)
import FoundationEssentials
#else
import Foundation
#endif

/// What the environment and the configuration file say; flags come before both, defaults after them.
struct Settings: Sendable {
    /// A value with where it comes from, for error texts.
    struct Value: Sendable, Equatable {
        let text: String
        let source: String
    }

    /// The keys of the configuration file, each with the variable that comes before it.
    static let keys = ["backend": "MQ_BACKEND", "redis_url": "MQ_REDIS_URL"]

    private let environment: [String: String]
    private let file: [String: String]
    private let fileName: String

    init(environment: [String: String] = [:], file: [String: String] = [:], fileName: String = "mq.json") {
        self.environment = environment
        self.file = file
        self.fileName = fileName
    }

    /// Reads the environment and the configuration file: `path`, else `MQ_CONFIG`, else `./mq.json` if there is one.
    static func load(path: String?, environment: [String: String]) throws -> Settings {
        let named = path ?? environment["MQ_CONFIG"].flatMap { $0.isEmpty ? nil : $0 }
        let name = named ?? "mq.json"
        guard named != nil || FileManager.default.fileExists(atPath: name) else {
            return Settings(environment: environment)
        }
        return Settings(environment: environment, file: try read(name), fileName: name)
    }

    /// The value of a key: the environment first, then the file.
    ///
    /// An empty variable is one that is not set.
    func value(_ key: String) -> Value? {
        if let variable = Self.keys[key], let text = environment[variable], !text.isEmpty {
            return Value(text: text, source: variable)
        }
        return file[key].map { Value(text: $0, source: fileName) }
    }

    private static func read(_ name: String) throws -> [String: String] {
        let data: Data
        do {
            data = try Data(contentsOf: URL(filePath: name))
        } catch {
            throw CLIError(.failed, "cannot read the configuration file '\(name)'", do: "check --config and MQ_CONFIG")
        }
        // The decoder's own words could repeat what is in the file, which may be a password.
        guard let values = try? JSONDecoder().decode([String: String].self, from: data) else {
            throw CLIError(
                .usage,
                "the configuration file '\(name)' is not a JSON object of strings",
                do: "write {\"backend\": \"redis\", \"redis_url\": \"redis://127.0.0.1:6379\"}"
            )
        }
        let known = keys.keys.sorted().joined(separator: ", ")
        if let unknown = values.keys.sorted().first(where: { keys[$0] == nil }) {
            throw CLIError(
                .usage,
                "the configuration file '\(name)' has the unknown key '\(Format.shortened(unknown, to: 40))'",
                do: "it can have: \(known)"
            )
        }
        return values
    }
}

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
    static let keys = [
        "backend": "MQ_BACKEND", "redis_url": "MQ_REDIS_URL", "rabbitmq_url": "MQ_RABBITMQ_URL",
        "kafka_url": "MQ_KAFKA_URL", "sqlite_url": "MQ_SQLITE_URL",
    ]

    /// The names of the configuration file in the working directory, the first one that is there.
    static let fileNames = ["mq.yaml", "mq.yml", "mq.json"]
    private static let maxFileBytes = 1 << 20

    let environment: [String: String]
    /// The configuration file; `nil` when there is none.
    let config: ConfigFile?
    private let file: [String: String]
    private let fileName: String

    init(environment: [String: String] = [:], file: [String: String] = [:], fileName: String = "mq.json") {
        self.environment = environment
        self.config = nil
        self.file = file
        self.fileName = fileName
    }

    init(environment: [String: String], config: ConfigFile?) {
        self.environment = environment
        self.config = config
        self.file = config?.values ?? [:]
        self.fileName = config?.name ?? ""
    }

    /// Reads the environment and the configuration file: `path`, else `MQ_CONFIG`, else the first of `mq.yaml`,
    /// `mq.yml` and `mq.json` that is in the working directory.
    ///
    /// - Throws: `ConfigError` with all that is wrong with the file, `CLIError` when it cannot be read.
    static func load(path: String?, environment: [String: String]) throws -> Settings {
        guard let name = configPath(path, environment) else { return Settings(environment: environment, config: nil) }
        return Settings(environment: environment, config: try read(name, environment))
    }

    /// The path of the configuration file; `nil` when none is named and none is there.
    static func configPath(_ path: String?, _ environment: [String: String]) -> String? {
        path ?? environment["MQ_CONFIG"].flatMap { $0.isEmpty ? nil : $0 }
            ?? fileNames.first { FileManager.default.fileExists(atPath: $0) }
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

    /// Reads a configuration file.
    static func read(_ name: String, _ environment: [String: String]) throws -> ConfigFile {
        let data: Data
        do {
            data = try Data(contentsOf: URL(filePath: name))
        } catch {
            throw CLIError(.failed, "cannot read the configuration file '\(name)'", do: "check --config and MQ_CONFIG")
        }
        guard data.count <= maxFileBytes, let text = String(data: data, encoding: .utf8) else {
            throw CLIError(
                .usage,
                "the configuration file '\(name)' is not UTF-8 text of at most \(maxFileBytes >> 20) MiB",
                do: "write YAML or JSON"
            )
        }
        return try ConfigReader.read(text, name: name, environment: environment)
    }
}

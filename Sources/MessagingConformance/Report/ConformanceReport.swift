import Messaging

/// What a backend was seen to do: the evidence behind a matrix of guarantees.
public struct ConformanceReport: Sendable, Hashable, Codable {
    /// The version of the JSON form.
    public static let schemaVersion = 1

    /// The version of the JSON form that this report is in.
    public let schemaVersion: Int
    /// The backend's name.
    public let system: String
    /// The version of the broker that was really run.
    public let version: String
    /// What the backend says that a confirmed message survives.
    public let durability: String
    /// How far each feature is there, by its name: `native`, `emulated` or `no`.
    public let features: [String: String]
    /// The cases, in the order in which they ran.
    public let results: [CaseResult]
    /// How long all of them took, in seconds.
    public let seconds: Double

    init(_ capabilities: Capabilities, _ results: [CaseResult], seconds: Double) {
        schemaVersion = Self.schemaVersion
        system = capabilities.system
        version = capabilities.version
        durability = Self.text(capabilities.durability)
        features = Dictionary(
            uniqueKeysWithValues: Capabilities.Feature.allCases.map { ("\($0)", Self.text(capabilities[$0])) }
        )
        self.results = results
        self.seconds = seconds
    }

    private enum CodingKeys: String, CodingKey {
        case schemaVersion = "schema_version"
        case system, version, durability, features, results, seconds
    }

    /// Whether no case failed.
    public var isPassed: Bool { results.allSatisfy { $0.outcome != .failed } }

    /// How many cases ended in a way.
    ///
    /// - Parameter outcome: The way.
    /// - Returns: The number.
    public func count(_ outcome: CaseResult.Outcome) -> Int { results.count { $0.outcome == outcome } }

    private static func text(_ support: Capabilities.Support) -> String {
        switch support {
        case .native: "native"
        case .emulated: "emulated"
        case .unavailable: "no"
        }
    }

    private static func text(_ durability: Capabilities.Durability) -> String {
        switch durability {
        case .memory: "memory"
        case .window(let window): "window \(window.inSeconds) s"
        case .disk: "disk"
        case .replicated: "replicated"
        case .unknown(let reason): "unknown: \(reason)"
        }
    }
}

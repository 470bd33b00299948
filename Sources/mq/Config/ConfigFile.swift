import Logging
import Messaging
import MessagingPipeline

/// What a configuration file says.
struct ConfigFile: Sendable, Equatable {
    /// The name for messages.
    var name: String
    /// The keys that every command uses, such as `backend` and `redis_url`.
    var values: [String: String] = [:]
    /// What `mq pipeline` uses.
    var pipeline = PipelineFile()
    /// Every value by its key, to tell what has changed when the file is read again.
    var leaves: [String: String] = [:]

    /// The keys outside `pipeline.sources` whose values differ, sorted.
    ///
    /// - Parameter other: The same file at another time.
    /// - Returns: The keys, without their values.
    func keysThatDiffer(from other: ConfigFile) -> [String] {
        Set(leaves.keys).union(other.leaves.keys)
            .filter { !Self.isSource($0) && leaves[$0] != other.leaves[$0] }
            .sorted()
    }

    private static func isSource(_ key: String) -> Bool {
        key.hasPrefix("pipeline.sources") || key == "pipeline.every"
    }
}

/// The section `pipeline` of a configuration file; `nil` is what it does not say.
struct PipelineFile: Sendable, Equatable {
    /// What can be said for all layers, and for one.
    struct LayerFile: Sendable, Equatable {
        var isRun = true
        var backend: String?
        var workers: Int?
        var concurrency: Int?
        var attempts: Int?
        var backoff: RetryPolicy.Backoff?
        var lease: Duration?
    }

    /// Where statements come from.
    struct Source: Sendable, Equatable {
        enum Place: Sendable, Equatable {
            case file(String)
            case remote(RemoteSource)
        }

        var place: Place
        var name: String?
        var format: RemoteSource.Format = .automatic
    }

    /// What holds for every layer that says nothing else.
    var shared = LayerFile()
    /// The layers that run; `nil` means all of them.
    var layers: [Layer: LayerFile]?
    var sources: [Source] = []
    var listen: ListenArgument?
    var drain: Duration?
    var workerPrefix: String?
    /// Where the layers keep what is no message; `nil` means beside their queues.
    var stores: String?
    var logLevel: Logger.Level?
    var logFormat: LogFormat?

    var files: [Source] {
        sources.filter { if case .file = $0.place { true } else { false } }
    }

    var remotes: [RemoteSource] {
        sources.compactMap { if case .remote(let source) = $0.place { source } else { nil } }
    }
}

/// What numbers and time spans may be, on the command line and in the configuration file alike.
enum PipelineLimits {
    static let workers = 1...100
    static let concurrency = 1...1000
    /// Below ``Layer/maxAttempts``, so that the policy decides and not the broker.
    static let attempts = 1...(Layer.maxAttempts - 1)
    static let year = Duration.seconds(366 * 86_400)
    static let lease = Duration.milliseconds(10)...year
    static let drain = Duration.zero...Duration.seconds(3600)
    static let every = Duration.seconds(1)...year
    static let backoff = Duration.zero...year
}

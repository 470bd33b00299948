#if Redis
import Messaging

/// Finds out what the server is and what its confirmations are worth.
enum RedisProbe {
    private static let oldestMajor = 7
    private static let cluster =
        "this server is part of a cluster; only a single server or a primary with replicas works"

    static func capabilities(
        _ link: RedisLink,
        maxBodyBytes: Int
    ) async throws(QueueError) -> Capabilities {
        var writer = RESPWriter()
        let settings = ["appendfsync", "no-appendfsync-on-rewrite", "maxmemory-policy", "save"]
        for section in ["server", "persistence", "cluster"] { writer.command(["INFO", section]) }
        for setting in settings { writer.command(["CONFIG", "GET", setting]) }
        let replies = try await link.send(writer)
        var info: [String: String] = [:]
        for reply in replies.prefix(3) {
            // INFO and CONFIG may be forbidden to this user; then the grade is unknown, not an error.
            for line in (reply.string ?? "").split(whereSeparator: \.isNewline) {
                let parts = line.split(separator: ":", maxSplits: 1)
                if parts.count == 2 { info[String(parts[0])] = String(parts[1]) }
            }
        }
        var config: [String: String] = [:]
        for reply in replies.dropFirst(3) where reply.strings.count == 2 {
            config[reply.strings[0]] = reply.strings[1]
        }
        return judge(info: info, config: config, maxBodyBytes: maxBodyBytes)
    }

    /// The decision, without I/O.
    static func judge(info: [String: String], config: [String: String], maxBodyBytes: Int) -> Capabilities {
        let version = info["redis_version"] ?? "unknown"
        var findings: [String] = []
        let durability: Capabilities.Durability
        if let aof = info["aof_enabled"] {
            (durability, findings) = grade(aof: aof == "1", config)
        } else {
            durability = .unknown("the user may not run INFO")
        }
        if let policy = config["maxmemory-policy"], policy != "noeviction" {
            findings.append("maxmemory-policy is \(policy): Redis may evict queues; set it to noeviction")
        }
        if isTooOld(version) { findings.append("Redis \(version) is older than 7.0, the oldest that works") }
        if info["cluster_enabled"] == "1" { findings.append(cluster) }
        return Capabilities(
            system: "redis",
            version: version,
            durability: durability,
            maxBodyBytes: maxBodyBytes,
            support: support,
            findings: findings
        )
    }

    /// A version that cannot be told is let through: the user may not run INFO.
    private static func isTooOld(_ version: String) -> Bool {
        guard let major = version.split(separator: ".").first.flatMap({ Int($0) }) else { return false }
        return major < oldestMajor
    }

    /// Refuses a server on which the scripts would fail half way through a user's work.
    static func check(_ capabilities: Capabilities, queue: String) throws(QueueError) {
        if isTooOld(capabilities.version) {
            throw QueueError(
                .unsupported,
                "Redis \(capabilities.version) is too old; 7.0 or newer is needed",
                queue: queue
            )
        }
        if capabilities.findings.contains(cluster) { throw QueueError(.unsupported, cluster, queue: queue) }
    }

    private static func grade(
        aof: Bool,
        _ config: [String: String]
    ) -> (Capabilities.Durability, [String]) {
        guard aof else {
            let saves = config["save"].map { !$0.isEmpty }
            switch saves {
            case true?:
                return (
                    .memory,
                    [
                        "only snapshots are on (save \(config["save"] ?? "")): a crash loses what came after the last one; "
                            + "turn appendonly on"
                    ]
                )
            case false?: return (.memory, ["persistence is off: a restart loses every queue; turn appendonly on"])
            case nil: return (.memory, ["the append-only file is off; turn appendonly on"])
            }
        }
        switch config["appendfsync"] {
        case "always":
            if config["no-appendfsync-on-rewrite"] == "yes" {
                return (
                    .window(.seconds(30)),
                    ["no-appendfsync-on-rewrite is yes: nothing is fsynced during a rewrite; set it to no"]
                )
            }
            return (.disk, [])
        case "everysec": return (.window(.seconds(2)), [])
        case "no": return (.window(.seconds(30)), ["appendfsync is no: the kernel decides when data is written"])
        default: return (.unknown("the user may not run CONFIG GET appendfsync"), [])
        }
    }

    private static let support: [Capabilities.Feature: Capabilities.Support] = [
        .persistence: .native,
        .delay: .emulated("a sorted set by due time, promoted by a script"),
        .scheduleList: .native,
        .deduplication: .emulated("a key per id that expires with the window"),
        .idConflict: .emulated("a digest of the body beside the id"),
        .fanOut: .native,
        .renewal: .emulated("a script that checks the owner and resets the idle time"),
        .fencedSettle: .emulated("a script that checks the owner before XACK"),
        .keyedOrder: .unavailable("lanes are not built yet"),
        .deadLetters: .emulated("a stream per queue, written by a script"),
        .atomicMove: .emulated("one script per move"),
        .replay: .native,
        .boundedQueue: .emulated("the publish script counts"),
        .atMostOnce: .emulated("acknowledged before the hand-over"),
        .deletion: .emulated("a script; what is left for a day keeps clients from making it again"),
    ]
}
#endif

import Logging
import Messaging
import MessagingPipeline

/// What would run, for a person and as JSON; without credentials.
struct PipelinePlanReport {
    private let plan: PipelinePlan
    private let config: String?
    private let diagnostics: Diagnostics.Choice
    private let places: [Layer: (place: String, source: String)]
    private let stores: (place: String, source: String)?

    init(
        _ plan: PipelinePlan,
        backend: String?,
        settings: Settings,
        _ diagnostics: Diagnostics.Choice
    ) throws {
        self.plan = plan
        self.diagnostics = diagnostics
        config = settings.config?.name
        let common =
            backend.map { Settings.Value(text: $0, source: "--backend") } ?? settings.value("backend")
        places = try Dictionary(
            uniqueKeysWithValues: plan.layers.map { layer in
                (layer.layer, try Self.place(layer.backend ?? common, settings))
            }
        )
        stores = try plan.stores.map { try Self.place($0, settings) }
    }

    /// Says where a backend is, without opening it.
    private static func place(_ chosen: Settings.Value?, _ settings: Settings) throws -> (String, String) {
        let chosen = chosen ?? Settings.Value(text: Backends.standard, source: "the default")
        let kind = try Backends.kind(of: chosen)
        // `sqlite:file` is a URL too.
        if chosen.text.contains(":") { return (Redacted.text(chosen.text), chosen.source) }
        if let url = settings.value("\(kind.name)_url") { return (Redacted.text(url.text), url.source) }
        return (kind.name == "sqlite" ? "sqlite:\(Backends.standardFile)" : kind.name, chosen.source)
    }

    // MARK: - For a person

    var layers: Table {
        var table = Table(
            ["LAYER", "RUNS", "QUEUE", "BACKEND", "FROM", "WORKERS", "CONCURRENCY", "ATTEMPTS", "BACKOFF", "LEASE"],
            numeric: [5, 6, 7]
        )
        if plan.running.contains(.collect) {
            table.rows.append([Layer.collect.rawValue, "yes"] + Array(repeating: "-", count: 8))
        }
        for layer in plan.layers {
            let place = places[layer.layer]
            table.rows.append([
                layer.layer.rawValue, plan.running.contains(layer.layer) ? "yes" : "no", layer.layer.queue ?? "-",
                place?.place ?? "-", place?.source ?? "-", String(layer.workers), String(layer.concurrency),
                String(layer.retryPolicy.maxAttempts), Self.text(layer.retryPolicy.backoff), Format.age(layer.lease),
            ])
        }
        return table
    }

    var sources: Table {
        var table = Table(["SOURCE", "KIND", "FORMAT", "EVERY"])
        for file in plan.files {
            table.rows.append([file.path, "file", file.format.map(\.rawValue) ?? "auto", "once"])
        }
        for remote in plan.remotes {
            table.rows.append([
                Redacted.text(remote.url), "url", remote.format.rawValue, remote.every.map(Format.age) ?? "once",
            ])
        }
        return table
    }

    var lines: [String] {
        let kept = stores.map { "\($0.place), from \($0.source)" } ?? "beside the queues"
        let rows: [(String, String)] = [
            ("configuration", config ?? "none"),
            ("listen", plan.listen.map(Self.text) ?? "no"),
            ("drain", Format.age(plan.drain)),
            ("workers are named", "\(plan.workerPrefix)1 …"),
            ("statements are kept", kept),
            ("ends", plan.untilIdle ? "when idle" : "on SIGINT or SIGTERM"),
            ("log", "\(diagnostics.level.rawValue), \(diagnostics.format.rawValue)"),
        ]
        return rows.map { name, value in
            name + String(repeating: " ", count: max(1, 20 - name.count)) + Redacted.line(value)
        }
    }

    // MARK: - JSON

    var members: [(String, JSON)] {
        [
            ("config", JSON(config)),
            ("layers", .array(plan.layers.map(json))),
            ("runs", .array(Layer.allCases.filter(plan.running.contains).map { .string($0.rawValue) })),
            (
                "sources",
                .array(
                    plan.files.map { ["file": .string($0.path), "format": JSON($0.format?.rawValue)] }
                        + plan.remotes.map { remote in
                            [
                                "url": .string(Redacted.text(remote.url)), "name": .string(Redacted.text(remote.name)),
                                "format": .string(remote.format.rawValue),
                                "every_seconds": remote.every.map { .seconds($0.inSeconds) } ?? .null,
                            ]
                        }
                )
            ),
            ("listen", JSON(plan.listen.map(Self.text))), ("drain_seconds", .seconds(plan.drain.inSeconds)),
            ("worker_prefix", .string(plan.workerPrefix)), ("stores", JSON(stores?.place)),
            ("until_idle", .bool(plan.untilIdle)),
            (
                "log",
                ["level": .string(diagnostics.level.rawValue), "format": .string(diagnostics.format.rawValue)]
            ),
        ]
    }

    private func json(_ layer: PipelinePlan.LayerPlan) -> JSON {
        let place = places[layer.layer]
        return [
            "layer": .string(layer.layer.rawValue), "runs": .bool(plan.running.contains(layer.layer)),
            "queue": JSON(layer.layer.queue), "backend": JSON(place?.place), "backend_from": JSON(place?.source),
            "workers": .integer(layer.workers), "concurrency": .integer(layer.concurrency),
            "attempts": .integer(layer.retryPolicy.maxAttempts),
            "backoff": .string(Self.text(layer.retryPolicy.backoff)), "lease_seconds": .seconds(layer.lease.inSeconds),
        ]
    }

    private static func text(_ listen: ListenArgument) -> String {
        listen.host.contains(":") ? "[\(listen.host)]:\(listen.port)" : "\(listen.host):\(listen.port)"
    }

    private static func text(_ backoff: RetryPolicy.Backoff) -> String {
        switch backoff {
        case .fixed(let delay): return "fixed \(Format.age(delay))"
        case .exponential(let base, let cap, let jitter):
            let random = jitter > 0 ? " jitter \(jitter)" : ""
            return "exponential \(Format.age(base)) to \(Format.age(cap))\(random)"
        }
    }
}

import Logging
import Messaging
import MessagingPipeline
import Yams

extension ConfigReader {
    private static let layerKeys = ["workers", "concurrency", "retry", "lease"]
    private static let retryKeys = ["attempts", "backoff", "delay", "base", "cap", "jitter"]

    private enum BackoffWord: String, CaseIterable {
        case fixed
        case exponential
    }

    /// Reads the section `pipeline`.
    mutating func pipeline(_ node: Node) -> PipelineFile {
        let key = "pipeline"
        var file = PipelineFile()
        let allowed =
            ["layers", "sources", "every"] + Self.layerKeys + ["listen", "drain", "worker_prefix", "stores", "log"]
        guard let members = mapping(node, key, allowed: allowed) else { return file }
        file.shared = layer(members, key)
        if let node = members["layers"] { file.layers = layers(node, "\(key).layers") }
        let every = members["every"].flatMap { duration($0, "\(key).every", PipelineLimits.every) }
        if let node = members["sources"] { file.sources = sources(node, "\(key).sources", every) }
        if let node = members["listen"] {
            file.listen = parsed(node, "\(key).listen", "HOST:PORT, such as 127.0.0.1:8080,") {
                ListenArgument(argument: $0)
            }
        }
        if let node = members["drain"] { file.drain = duration(node, "\(key).drain", PipelineLimits.drain) }
        if let node = members["worker_prefix"] {
            let expected = "letters, digits and . _ - : /, beginning with one of the first,"
            file.workerPrefix = parsed(node, "\(key).worker_prefix", expected) {
                NameRules.isValid("\($0)1") ? $0 : nil
            }
        }
        if let node = members["stores"] {
            file.stores = parsed(node, "\(key).stores", "memory, sqlite, redis or a URL of one of them") {
                PipelineStores.canBe(at: $0) ? $0 : nil
            }
        }
        if let node = members["log"], let log = mapping(node, "\(key).log", allowed: ["level", "format"]) {
            file.logLevel = log["level"].flatMap { word($0, "\(key).log.level", Logger.Level.self) }
            file.logFormat = log["format"].flatMap { word($0, "\(key).log.format", LogFormat.self) }
        }
        return file
    }

    private mutating func parsed<Value>(
        _ node: Node,
        _ key: String,
        _ expected: String,
        _ parse: (String) -> Value?
    ) -> Value? {
        guard let text = text(node, key) else { return nil }
        let value = parse(text)
        if value == nil { problem(node, key, "\(expected) is expected") }
        return value
    }

    // MARK: - Layers

    private mutating func layers(_ node: Node, _ key: String) -> [Layer: PipelineFile.LayerFile]? {
        guard let members = mapping(node, key, allowed: Layer.allCases.map(\.rawValue)) else { return nil }
        var layers: [Layer: PipelineFile.LayerFile] = [:]
        for layer in Layer.allCases {
            guard let node = members[layer.rawValue] else { continue }
            let key = "\(key).\(layer.rawValue)"
            // The first layer reads the sources; it has no queue and no workers of its own.
            let own = layer == .collect ? [] : ["backend"] + Self.layerKeys
            guard let settings = mapping(node, key, allowed: ["run"] + own) else { continue }
            var file = self.layer(settings, key)
            if let node = settings["run"] { file.isRun = boolean(node, "\(key).run") ?? true }
            if let node = settings["backend"], let value = text(node, "\(key).backend") {
                file.backend = backend(value, node, "\(key).backend")
            }
            layers[layer] = file
        }
        if !layers.values.contains(where: \.isRun), problems.isEmpty {
            problem(node, key, "names no layer that runs; name one, or leave the key out to run them all")
        }
        return layers
    }

    /// Reads what can be said for all layers and for one.
    private mutating func layer(_ members: [String: Node], _ key: String) -> PipelineFile.LayerFile {
        var file = PipelineFile.LayerFile()
        file.workers = members["workers"].flatMap { integer($0, "\(key).workers", PipelineLimits.workers) }
        file.concurrency = members["concurrency"].flatMap {
            integer($0, "\(key).concurrency", PipelineLimits.concurrency)
        }
        file.lease = members["lease"].flatMap { duration($0, "\(key).lease", PipelineLimits.lease) }
        if let node = members["retry"] { retry(node, "\(key).retry", into: &file) }
        return file
    }

    private mutating func retry(_ node: Node, _ key: String, into file: inout PipelineFile.LayerFile) {
        guard let members = mapping(node, key, allowed: Self.retryKeys) else { return }
        file.attempts = members["attempts"].flatMap { integer($0, "\(key).attempts", PipelineLimits.attempts) }
        let kind = members["backoff"].flatMap { word($0, "\(key).backoff", BackoffWord.self) }
        func time(_ name: String) -> Duration? {
            members[name].flatMap { duration($0, "\(key).\(name)", PipelineLimits.backoff) }
        }
        let delay = time("delay")
        let base = time("base")
        let cap = time("cap")
        let jitter = members["jitter"].flatMap { number($0, "\(key).jitter", 0...1) }
        // `delay` belongs to the fixed backoff, the others to the exponential one, which is the default.
        let foreign = kind == .fixed ? ["base", "cap", "jitter"] : ["delay"]
        for name in foreign {
            guard let node = members[name] else { continue }
            let other = kind == .fixed ? "exponential" : "fixed"
            problem(node, "\(key).\(name)", "is only for 'backoff: \(other)'")
        }
        switch kind {
        case .fixed: file.backoff = .fixed(delay ?? .seconds(2))
        case .exponential, nil:
            guard kind != nil || base != nil || cap != nil || jitter != nil else { return }
            let cap = cap ?? max(.seconds(60), base ?? .zero)
            if let base, base > cap, let node = members["base"] {
                problem(node, "\(key).base", "must not be longer than 'cap'")
            }
            file.backoff = .exponential(base: base ?? min(.seconds(2), cap), cap: cap, jitter: jitter ?? 0)
        }
    }

    // MARK: - Sources

    private mutating func sources(_ node: Node, _ key: String, _ every: Duration?) -> [PipelineFile.Source] {
        guard let nodes = sequence(node, key, of: "files and URLs") else { return [] }
        var sources: [PipelineFile.Source] = []
        var seen: Set<String> = []
        for (index, node) in nodes.enumerated() {
            let key = "\(key)[\(index)]"
            guard let (place, source) = source(node, key, every) else { continue }
            guard seen.insert(place).inserted else {
                problem(node, key, "the same source is there twice; keep one")
                continue
            }
            sources.append(source)
        }
        return sources
    }

    private mutating func source(
        _ node: Node,
        _ key: String,
        _ shared: Duration?
    ) -> (place: String, source: PipelineFile.Source)? {
        var format: RemoteSource.Format?
        var name: String?
        var every: Duration?
        var place = node
        var placeKey = key
        var members: [String: Node] = [:]
        if case .mapping = node {
            guard let found = mapping(node, key, allowed: ["url", "file", "name", "format", "every"]) else {
                return nil
            }
            members = found
            let places = ["url", "file"].filter { members[$0] != nil }
            guard places.count == 1, let chosen = places.first, let value = members[chosen] else {
                problem(node, key, "give either 'url' or 'file'")
                return nil
            }
            place = value
            placeKey = "\(key).\(chosen)"
            name = members["name"].flatMap { text($0, "\(key).name") }
            format = members["format"].flatMap { word($0, "\(key).format", RemoteSource.Format.self) }
            every = members["every"].flatMap { duration($0, "\(key).every", PipelineLimits.every) }
        }
        guard let location = text(place, placeKey) else { return nil }
        let isRemote = members["url"] != nil || (members["file"] == nil && location.contains("://"))
        guard isRemote else {
            if let node = members["every"] { problem(node, "\(key).every", "is only for a URL; a file is read once") }
            if format == .feed, let node = members["format"] {
                problem(node, "\(key).format", "is only for a URL; a file is auto, json, jsonl or csv")
            }
            if location == "-" { problem(place, placeKey, "stdin is only for --input") }
            return (location, .init(place: .file(location), name: name, format: format ?? .automatic))
        }
        do throws(SourceError) {
            let remote = try RemoteSource(
                url: location,
                name: name,
                format: format ?? .automatic,
                every: every ?? shared
            )
            return (location, .init(place: .remote(remote), name: name, format: remote.format))
        } catch {
            problem(place, placeKey, Redacted.text(error.description))
            return nil
        }
    }
}

import ArgumentParser
import MessagingPipeline

/// `--layer NAME` chooses a layer to run here; `--layer NAME=BACKEND` puts its queue on another backend.
struct LayerArgument: ExpressibleByArgument, Equatable {
    let layer: Layer
    let backend: String?

    init?(argument: String) {
        let parts = argument.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
        guard let layer = Layer(rawValue: String(parts[0])) else { return nil }
        if parts.count == 2, parts[1].isEmpty || layer == .collect { return nil }
        self.layer = layer
        backend = parts.count == 2 ? String(parts[1]) : nil
    }

    static let allValueStrings = Layer.allCases.map(\.rawValue)

    /// The layers to run: those that were named without a backend, or else all.
    static func chosen(_ arguments: [LayerArgument]) -> Set<Layer> {
        let named = Set(arguments.filter { $0.backend == nil }.map(\.layer))
        return named.isEmpty ? Set(Layer.allCases) : named
    }
}

/// An address to listen on: `HOST:PORT`, `:PORT` or `[::1]:PORT`.
struct ListenArgument: ExpressibleByArgument, Equatable {
    let host: String
    let port: Int

    init?(argument: String) {
        guard let colon = argument.lastIndex(of: ":"), let port = Int(argument[argument.index(after: colon)...]),
            0...65535 ~= port
        else { return nil }
        var host = String(argument[..<colon])
        if host.hasPrefix("["), host.hasSuffix("]") { host = String(host.dropFirst().dropLast()) }
        self.host = host.isEmpty ? "127.0.0.1" : host
        self.port = port
    }
}

import ArgumentParser
import Logging
import Messaging

extension CompletionKind {
    /// The names of the queues that are there.
    static var queues: CompletionKind {
        .custom { words, _, prefix in await QueueCompletion.names(words, prefix) }
    }
}

/// Asks the backend for the names of queues when a person presses TAB.
///
/// It says nothing when it fails and does not keep the shell waiting.
enum QueueCompletion {
    private static let patience = Duration.seconds(1)
    private static let most = 500

    /// The names that begin with what was typed.
    ///
    /// - Parameters:
    ///   - words: The command line so far, for `--backend` and `--config`.
    ///   - prefix: What was typed of the name.
    /// - Returns: The names; none when the backend cannot be asked in time.
    static func names(_ words: [String], _ prefix: String) async -> [String] {
        let environment = GlobalOptions.processEnvironment
        guard let settings = try? Settings.load(path: option("--config", words), environment: environment),
            let opened = try? Backends.open(
                option("--backend", words),
                settings: settings,
                timeout: patience,
                logger: Logger(label: "mq") { _ in SwiftLogNoOpLogHandler() }
            )
        else { return [] }
        let names = await within(patience) { (try? await opened.queue.queues()) ?? [] } ?? []
        // A broker that hangs must not hold the shell up while its connection is closed.
        await within(.milliseconds(200)) { await opened.queue.close() }
        return Array(names.filter { $0.hasPrefix(prefix) }.sorted().prefix(most))
    }

    /// The value of an option on an unfinished command line, without the quotes of the shell.
    static func option(_ name: String, _ words: [String]) -> String? {
        for (index, word) in words.enumerated() {
            if word == name, index + 1 < words.count { return unquoted(words[index + 1]) }
            if word.hasPrefix("\(name)=") { return unquoted(String(word.dropFirst(name.count + 1))) }
        }
        return nil
    }

    private static func unquoted(_ word: String) -> String? {
        var text = Substring(word)
        for quote in ["'", "\""] where text.count > 1 && text.hasPrefix(quote) && text.hasSuffix(quote) {
            text = text.dropFirst().dropLast()
        }
        return text.isEmpty ? nil : String(text)
    }

    /// The result of some work, or `nil` when it takes too long.
    @discardableResult
    private static func within<Result: Sendable>(
        _ limit: Duration,
        _ body: @escaping @Sendable () async -> Result
    ) async -> Result? {
        await withTaskGroup(of: Result?.self) { group in
            group.addTask { await body() }
            group.addTask {
                try? await Task.sleep(for: limit)
                return nil
            }
            defer { group.cancelAll() }
            return await group.next() ?? nil
        }
    }
}

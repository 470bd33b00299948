import Logging

/// Writes log records to stderr in the format that was chosen for the process.
struct DiagnosticsLogHandler: LogHandler {
    private let label: String
    private var text: StreamLogHandler
    /// Writes a line; tests look at it instead.
    var write: @Sendable ([UInt8]) -> Void = { Diagnostics.write($0) }
    /// The format; by default that of the process at the time of the record.
    var format: LogFormat?

    init(label: String, level: Logger.Level) {
        self.label = label
        text = StreamLogHandler.standardError(label: label)
        text.logLevel = level
    }

    var logLevel: Logger.Level {
        get { text.logLevel }
        set { text.logLevel = newValue }
    }

    var metadata: Logger.Metadata {
        get { text.metadata }
        set { text.metadata = newValue }
    }

    var metadataProvider: Logger.MetadataProvider? {
        get { text.metadataProvider }
        set { text.metadataProvider = newValue }
    }

    subscript(metadataKey key: String) -> Logger.Metadata.Value? {
        get { text.metadata[key] }
        set { text.metadata[key] = newValue }
    }

    func log(event: LogEvent) {
        guard (format ?? Diagnostics.choice.format) == .json else { return text.log(event: event) }
        let all = text.metadata
            .merging(text.metadataProvider?.get() ?? [:]) { $1 }
            .merging(event.metadata ?? [:]) { $1 }
        let record = LogRecord(
            level: event.level,
            label: label,
            message: event.message.description,
            metadata: all,
            error: event.error.map { "\($0)" }
        )
        write(record.line)
    }
}

#if SQLite
import GRDB
import Messaging

/// What SQLite and the operating system say, in the words of this library.
enum SQLiteErrors {
    /// What a file was about to do when it failed.
    enum Phase {
        case opening
        case reading
        case writing
        /// The commit itself: what fails here may have happened.
        case committing
    }

    static func error(_ error: any Error, file: String, _ phase: Phase) -> QueueError {
        if let error = error as? QueueError { return error }
        if let error = error as? FileFailure { return self.error(error, file: file) }
        guard let error = error as? DatabaseError else {
            return QueueError(.brokerError, "the file '\(file)' failed: \(error)", underlying: error)
        }
        let said = error.message.map { " (\($0))" } ?? ""
        switch error.resultCode {
        case .SQLITE_BUSY, .SQLITE_LOCKED:
            return QueueError(
                .unavailable,
                "the file '\(file)' is locked by a program that does not use this library; end its transaction, or raise "
                    + "the timeout",
                underlying: error
            )
        case .SQLITE_FULL:
            return QueueError(
                .unavailable,
                "the file '\(file)' cannot grow: the disk or the limit of the file's size is full; nothing was changed. "
                    + "Make room, or let consumers finish messages",
                underlying: error
            )
        case .SQLITE_READONLY, .SQLITE_PERM, .SQLITE_AUTH:
            return QueueError(
                .permissionDenied,
                "the file '\(file)' cannot be written\(said); check the rights of the file and of its folder",
                underlying: error
            )
        case .SQLITE_CANTOPEN:
            return QueueError(
                .unavailable,
                "the file '\(file)' cannot be opened\(said); check that its folder exists and may be written",
                isRetryable: false,
                underlying: error
            )
        case .SQLITE_NOTADB:
            return QueueError(
                .undecodable,
                "the file '\(file)' is no SQLite database; it was not changed. Give the path of another file",
                underlying: error
            )
        case .SQLITE_CORRUPT:
            return QueueError(
                .undecodable,
                "the file '\(file)' is damaged\(said); stop all its users, keep a copy, and restore a backup or run "
                    + "sqlite3's .recover",
                underlying: error
            )
        case .SQLITE_IOERR where phase == .committing:
            return QueueError(
                .indeterminate,
                "the file '\(file)' failed while it was committing\(said); what was asked may or may not have happened",
                underlying: error
            )
        case .SQLITE_IOERR, .SQLITE_NOMEM, .SQLITE_PROTOCOL, .SQLITE_INTERRUPT, .SQLITE_ABORT:
            return QueueError(.unavailable, "the file '\(file)' failed\(said); nothing was changed", underlying: error)
        case .SQLITE_TOOBIG:
            return QueueError(.tooLarge, "a value is larger than SQLite takes\(said)", underlying: error)
        default:
            return QueueError(.brokerError, "the file '\(file)' failed\(said)", underlying: error)
        }
    }

    private static func error(_ failure: FileFailure, file: String) -> QueueError {
        QueueError(
            failure.isPermission ? .permissionDenied : .unavailable,
            "the file '\(file)' cannot be used: \(failure.call) of '\(failure.path)' failed: \(failure.reason); check that "
                + "its folder exists and may be written",
            isRetryable: !failure.isPermission && !failure.isMissing,
            underlying: failure
        )
    }
}
#endif

/// How `mq` ends; documented and stable, because scripts depend on it.
enum ExitStatus: Int32, Sendable {
    /// Everything was done.
    case done = 0
    /// It failed.
    case failed = 1
    /// Some of it was done.
    case partly = 3
    /// The queue, group or message does not exist.
    case notFound = 4
    /// A destructive command needs `--yes`, or the answer was no.
    case needsConfirmation = 5
    /// The broker cannot be reached.
    case unreachable = 6
    /// What was verified is not the same.
    case mismatch = 7
    /// The command line cannot be understood.
    case usage = 64

    /// For the discussion of the root command.
    static let help = """
        EXIT CODES:
          0 done, 1 failed, 3 partly done, 4 not found, 5 needs --yes, 6 broker unreachable, 7 verification mismatch, \
        64 bad usage.
        """
}

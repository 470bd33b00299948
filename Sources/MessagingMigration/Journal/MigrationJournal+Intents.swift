#if SQLite
import GRDB
import Messaging

/// What is on its way from one side to the other.
extension MigrationJournal {
    /// Writes down that messages are to go over, and that others have left; those that are known begin again.
    func intend(_ intents: [Intent], removed: [String] = [], of migration: Migration) async throws {
        try await write { database in
            try Self.mark(removed, .removed, nil, migration, database)
            for intent in intents { try Self.insert(intent, migration, database) }
        }
    }

    /// Writes down what has become of messages.
    ///
    /// - Parameters:
    ///   - change: What has become of them. An intent that the new side has confirmed before stays as it is.
    ///   - migration: The migration.
    /// - Returns: The names of those intents.
    /// - Throws: `MigrationError`.
    func note(_ change: JournalChange, of migration: Migration) async throws -> Set<String> {
        try await write { database in
            try Self.mark(change.done, .done, nil, migration, database)
            try Self.mark(change.removed, .removed, nil, migration, database)
            try Self.mark(change.left, .left, nil, migration, database)
            for refusal in change.refused {
                try Self.mark([refusal.id], .refused, refusal.reason, migration, database)
            }
            var confirmed: Set<String> = []
            let state = try database.cachedStatement(
                sql: "SELECT state FROM intent WHERE migration = ? AND leg = ? AND id = ?"
            )
            for intent in change.intents {
                let known = try String.fetchOne(state, arguments: [migration.id, migration.leg, intent.id])
                switch known.flatMap({ Intent.State(rawValue: $0) }) {
                case .done, .removed: confirmed.insert(intent.id)
                case .intent, .left, .refused, nil: try Self.insert(intent, migration, database)
                }
            }
            return confirmed
        }
    }

    /// Writes an intent; by hand, because a move writes one for each message.
    private static func insert(_ intent: Intent, _ migration: Migration, _ database: Database) throws {
        let insert = try database.cachedStatement(
            sql: """
                INSERT INTO intent
                    (migration, leg, id, kind, group_name, message_id, source_id, hash, due, state, reason)
                    VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
                    ON CONFLICT (migration, leg, id) DO UPDATE SET
                        kind = excluded.kind, group_name = excluded.group_name, source_id = excluded.source_id,
                        due = excluded.due, state = excluded.state, reason = excluded.reason, tries = tries + 1
                """
        )
        try insert.execute(
            arguments: [
                migration.id, migration.leg, intent.id, intent.kind.rawValue, intent.group, intent.messageID,
                intent.sourceID, intent.hash, intent.due, intent.state.rawValue, intent.reason,
            ]
        )
    }

    func mark(_ ids: [String], _ state: Intent.State, reason: String? = nil, of migration: Migration) async throws {
        guard !ids.isEmpty else { return }
        try await write { database in try Self.mark(ids, state, reason, migration, database) }
    }

    private static func mark(
        _ ids: [String],
        _ state: Intent.State,
        _ reason: String?,
        _ migration: Migration,
        _ database: Database
    ) throws {
        let update = try database.cachedStatement(
            sql: "UPDATE intent SET state = ?, reason = ? WHERE migration = ? AND leg = ? AND id = ?"
        )
        for id in ids { try update.execute(arguments: [state.rawValue, reason, migration.id, migration.leg, id]) }
    }

    /// Writes down that messages, which may have been written in on the new side before, are written in once more.
    func tryAgain(_ ids: [String], of migration: Migration) async throws {
        guard !ids.isEmpty else { return }
        try await write { database in
            let update = try database.cachedStatement(
                sql: "UPDATE intent SET tries = tries + 1 WHERE migration = ? AND leg = ? AND id = ?"
            )
            for id in ids { try update.execute(arguments: [migration.id, migration.leg, id]) }
        }
    }

    /// How many second copies of messages crashes may have made, in any direction: by the ids of the messages.
    func copies(of migration: Migration) async throws -> [String: Int] {
        try await read { database in
            let rows = try Row.fetchAll(
                database,
                sql: """
                    SELECT message_id, SUM(tries - 1) AS number FROM intent WHERE migration = ? AND tries > 1
                        GROUP BY message_id
                    """,
                arguments: [migration.id]
            )
            return rows.reduce(into: [:]) { $0[$1["message_id"]] = $1["number"] }
        }
    }

    /// The states of messages by name; those that nobody wrote down are missing.
    func intents(named names: [String], of migration: Migration) async throws -> [String: Intent.State] {
        try await read { database in
            let rows = try IntentRow.filter(
                Column("migration") == migration.id && Column("leg") == migration.leg && names.contains(Column("id"))
            ).fetchAll(database)
            return rows.reduce(into: [:]) { $0[$1.id] = Intent.State(rawValue: $1.state) }
        }
    }

    func intents(
        of migration: Migration,
        in states: [Intent.State],
        after: String = "",
        limit: Int = 1000
    ) async throws -> [Intent] {
        try await read { database in
            try IntentRow.filter(
                Column("migration") == migration.id && Column("leg") == migration.leg && Column("id") > after
                    && states.map(\.rawValue).contains(Column("state"))
            ).order(Column("id")).limit(limit).fetchAll(database).compactMap(\.intent)
        }
    }

    /// How many messages of the present direction are in each state.
    ///
    /// - Parameter migration: The migration.
    /// - Returns: The counts by state; a state without messages is missing.
    /// - Throws: `MigrationError`.
    public func counts(of migration: Migration) async throws -> [Intent.State: Int] {
        try await read { database in
            let rows = try Row.fetchAll(
                database,
                sql: "SELECT state, COUNT(*) AS number FROM intent WHERE migration = ? AND leg = ? GROUP BY state",
                arguments: [migration.id, migration.leg]
            )
            return rows.reduce(into: [:]) { counts, row in
                if let state = Intent.State(rawValue: row["state"]) { counts[state] = row["number"] }
            }
        }
    }
}
#endif

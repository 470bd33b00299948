#if SQLite
import GRDB
import Messaging

/// What is on its way from one side to the other.
extension MigrationJournal {
    /// Writes down that messages are to go over, and that others have left; those that are known begin again.
    func intend(_ intents: [Intent], removed: [String] = [], of migration: Migration) async throws {
        try await write { database in
            try Self.mark(removed, .removed, nil, migration, database)
            try Self.insert(intents, migration, database)
        }
    }

    /// Writes down what has become of messages, and that what was taken by consuming it is to go over.
    ///
    /// - Parameters:
    ///   - change: What has become of others.
    ///   - intents: What is to go over. What the new side has confirmed stays as it is.
    ///   - migration: The migration.
    /// - Returns: The names of the intents that the new side has confirmed, before or by this change.
    /// - Throws: `MigrationError`.
    func note(
        _ change: JournalChange,
        intending intents: [Intent] = [],
        of migration: Migration
    ) async throws -> Set<String> {
        try await write { database in
            try Self.mark(change.done, .done, nil, migration, database)
            try Self.mark(change.removed, .removed, nil, migration, database)
            try Self.mark(change.left, .left, nil, migration, database)
            for refusal in change.refused {
                try Self.mark([refusal.id], .refused, refusal.reason, migration, database)
            }
            var confirmed: Set<String> = []
            for part in intents.split(by: Self.batch) {
                if try Self.insertDeliveries(part, migration, database) < part.count {
                    confirmed.formUnion(try Self.confirmed(part.map(\.id), migration, database))
                }
            }
            return confirmed
        }
    }

    /// Writes intents for deliveries, all of which differ in four columns only; by hand, because a move writes one for each
    /// message.
    ///
    /// - Returns: How many were written: the new side has confirmed the others before.
    private static func insertDeliveries(
        _ intents: [Intent],
        _ migration: Migration,
        _ database: Database
    ) throws -> Int {
        let row =
            "(?1, \(migration.leg), ?, '\(StoredMessage.State.ready.rawValue)', ?, ?, '', ?, '\(Intent.State.intent.rawValue)')"
        var insert = try BulkStatement(
            database,
            """
            INSERT INTO intent (migration, leg, id, kind, group_name, message_id, source_id, hash, state)
                VALUES \(Self.list(row, intents.count))
                ON CONFLICT (migration, leg, id) DO UPDATE SET
                    state = excluded.state, reason = NULL, tries = tries + 1
                WHERE state NOT IN ('\(Intent.State.done.rawValue)', '\(Intent.State.removed.rawValue)')
            """,
            size: 300 * intents.count
        )
        insert.add(migration.id)
        for intent in intents {
            insert.add(intent.id)
            insert.add(intent.group)
            insert.add(intent.messageID)
            insert.add(intent.hash)
        }
        return try insert.run()
    }

    private static func list(_ item: String, _ count: Int) -> String {
        String(repeating: item + ", ", count: count - 1) + item
    }

    /// As many messages as one statement is about: what it costs to begin one is shared, and few statements differ.
    private static let batch = MigrationSide.window

    /// Which of these the new side has confirmed before.
    private static func confirmed(
        _ ids: [String],
        _ migration: Migration,
        _ database: Database
    ) throws -> Set<String> {
        let select = try database.cachedStatement(
            sql: """
                SELECT id FROM intent WHERE migration = ? AND leg = ? AND id IN (\(databaseQuestionMarks(count: ids.count)))
                    AND state IN ('\(Intent.State.done.rawValue)', '\(Intent.State.removed.rawValue)')
                """
        )
        var arguments: StatementArguments = [migration.id, migration.leg]
        arguments += StatementArguments(ids)
        return try String.fetchSet(select, arguments: arguments)
    }

    /// Writes intents; by hand, because a move writes one for each message.
    private static func insert(_ intents: [Intent], _ migration: Migration, _ database: Database) throws {
        for part in intents.split(by: batch) {
            let row = "(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
            let insert = try database.cachedStatement(
                sql: """
                    INSERT INTO intent
                        (migration, leg, id, kind, group_name, message_id, source_id, hash, due, state, reason)
                        VALUES \(repeatElement(row, count: part.count).joined(separator: ", "))
                        ON CONFLICT (migration, leg, id) DO UPDATE SET
                            kind = excluded.kind, group_name = excluded.group_name, source_id = excluded.source_id,
                            due = excluded.due, state = excluded.state, reason = excluded.reason, tries = tries + 1
                    """
            )
            var values: [(any DatabaseValueConvertible)?] = []
            values.reserveCapacity(11 * part.count)
            for intent in part {
                values += [
                    migration.id, migration.leg, intent.id, intent.kind.rawValue, intent.group, intent.messageID,
                    intent.sourceID, intent.hash, intent.due, intent.state.rawValue, intent.reason,
                ]
            }
            try insert.execute(arguments: StatementArguments(values))
        }
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
        for part in ids.split(by: batch) {
            var update = try BulkStatement(
                database,
                """
                UPDATE intent SET state = '\(state.rawValue)', reason = ?1
                    WHERE migration = ?2 AND leg = \(migration.leg) AND id IN (\(Self.list("?", part.count)))
                """,
                size: 128 * part.count
            )
            update.add(reason)
            update.add(migration.id)
            for id in part { update.add(id) }
            _ = try update.run()
        }
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

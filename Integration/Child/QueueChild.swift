import Foundation
import Logging
import Messaging
import MessagingMigration

#if Kafka
import MessagingKafka
#endif
#if RabbitMQ
import MessagingRabbitMQ
#endif
#if Redis
import MessagingRedis
#endif
#if SQLite
import MessagingSQLite
#endif

/// A program for tests that measure or kill a client from outside.
@main
struct QueueChild {
    private static let usage = """
        usage: queue-child worker URL QUEUE GROUP              handles messages by doing nothing
               queue-child hammer URL QUEUE GROUP NAME SECONDS publishes and handles at the same time
               queue-child fault URL JOB                       does one job of the fault tier (JSON)
               queue-child throughput FILE MESSAGES            measures a SQLite file beside plain inserts
               queue-child migrate FROM TO JOURNAL QUEUE apply|quarantine|rollback|forward  moves a queue
               queue-child moverate FROM TO JOURNAL MESSAGES   measures a move beside plain publishing
               queue-child follow URL JOURNAL QUEUE COUNT      publishes to a queue that may move
               queue-child rounds URL COUNT                    opens, consumes and closes so many times
        """

    static func main() async throws {
        // A bound on every wait: a test that is killed leaves no children behind for ever.
        alarm(1200)
        let words = Array(CommandLine.arguments.dropFirst())
        switch (words.first, words.count) {
        case ("worker", 4): try await WorkerChild.run(try open(words[1]), words[2], words[3])
        case ("hammer", 6):
            try await HammerChild.run(
                try open(words[1]),
                words[2],
                words[3],
                name: words[4],
                for: .seconds(Int64(words[5]) ?? 1)
            )
        case ("fault", 3): try await FaultChildMode.run(try open(words[1]), words[2])
        #if SQLite
        case ("migrate", 6):
            try await MigrationChild.run(
                from: MigrationSide(try open(words[1]), label: words[1]),
                to: MigrationSide(try open(words[2]), label: words[2]),
                journal: words[3],
                words[4],
                words[5]
            )
        case ("moverate", 5):
            try await MoveRateChild.run(
                from: MigrationSide(try open(words[1]), label: words[1]),
                to: MigrationSide(try open(words[2]), label: words[2]),
                journal: words[3],
                count: Int(words[4]) ?? 0
            )
        case ("follow", 5):
            try await FollowerChild.run(
                MigrationSide(try open(words[1]), label: words[1]),
                journal: words[2],
                words[3],
                count: Int(words[4]) ?? 0
            ) { label in try open(label) }
        case ("throughput", 3): try await ThroughputChild.run(file: words[1], messages: Int(words[2]) ?? 0)
        #endif
        #if RabbitMQ
        case ("rounds", 3): try await RabbitMQChild.rounds(words[1], Int(words[2]) ?? 0)
        #endif
        default: say(usage)
        }
    }

    private static func open(_ url: String) throws -> any MessageQueue {
        let logger = Logger(label: "child")
        #if SQLite
        if url.hasPrefix("sqlite:") { return SQLiteQueue(try SQLiteConfiguration(url: url), logger: logger) }
        #endif
        #if RabbitMQ
        if url.hasPrefix("amqp") { return RabbitMQQueue(try RabbitMQConfiguration(url: url), logger: logger) }
        #endif
        #if Kafka
        if url.hasPrefix("kafka") { return KafkaQueue(try KafkaConfiguration(url: url), logger: logger) }
        #endif
        #if Redis
        return RedisQueue(try RedisConfiguration(url: url), logger: logger)
        #else
        throw QueueError(.unsupported, "this build has no backend for the URL")
        #endif
    }

    /// Writes a line at once; `print` keeps lines back while stdout is a file.
    static func say(_ line: String) { FileHandle.standardOutput.write(Data("\(line)\n".utf8)) }
}

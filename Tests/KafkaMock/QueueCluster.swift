#if Kafka
import Messaging
import Synchronization

/// A mock cluster with the topics of some queues, for programs that know nothing of that: nobody answers their requests of
/// administrators there.
package final class QueueCluster: Sendable {
    private static let partitions = 4
    private let definitions: [QueueDefinition]
    private let cluster: Mutex<MockCluster>

    package init(_ definitions: [QueueDefinition]) throws {
        self.definitions = definitions
        cluster = Mutex(try Self.make(definitions))
    }

    private static func make(_ definitions: [QueueDefinition]) throws -> MockCluster {
        let cluster = try MockCluster()
        for definition in definitions { cluster.create(definition, partitions: partitions) }
        return cluster
    }

    /// Requests of administrators are waited for in vain, so not for long; the session is as short as Kafka allows.
    package var url: String {
        let servers = cluster.withLock { $0.servers.joined(separator: ",") }
        return "kafka://\(servers)?timeout=2&session_timeout=6&partitions=\(Self.partitions)"
    }

    /// Starts again with nothing, on other ports.
    package func wipe() throws {
        let fresh = try Self.make(definitions)
        cluster.withLock { $0 = fresh }
    }
}
#endif

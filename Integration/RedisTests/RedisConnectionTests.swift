import BrokerSupport
import Foundation
import Logging
import Messaging
import MessagingRedis
import TestSupport
import Testing

/// The ways to reach a server, and what is said when it cannot be reached.
@Suite(
    "Redis connections",
    .enabled(if: PrivateRedis.isInstalled, "redis-server is not installed; make test installs it"),
    .serialized,
    .timeLimit(.minutes(2))
)
struct RedisConnectionTests {
    private func roundTrip(_ queue: RedisQueue) async throws {
        try await queue.declare(definition(lease: .seconds(30)))
        try await queue.publish(Message(text: "x"), to: "orders")
        let consumer = try await queue.consume("orders", group: "g", consumer: "c")
        let taken = try #require(try await consumer.take(1).first)
        #expect(taken.message.text == "x")
        try await consumer.settle(taken, .reject(reason: .rejected, error: "for the record"))
        #expect(try await queue.redriveAll(of: "orders") == 1)
        try await consumer.acknowledge(all: try await consumer.take(1))
        await queue.close()
    }

    private func queue(_ url: String) throws -> RedisQueue {
        RedisQueue(try RedisConfiguration(url: url), logger: .init(label: "test"))
    }

    private func failure(_ url: String) async throws -> QueueError? {
        let queue = try queue(url)
        let error = await #expect(throws: QueueError.self) { try await queue.declare(definition()) }
        await queue.close()
        if let error { #expect(!"\(error)".contains("secret")) }
        return error
    }

    @Test func unixSocket() async throws {
        let server = try PrivateRedis()
        try await roundTrip(try queue("unix://\(server.folder.path)/socket"))
    }

    @Test func databaseNumber() async throws {
        let server = try PrivateRedis()
        try await roundTrip(try queue("\(server.url)/3"))
        #expect(try server.cli("DBSIZE") == "0")
        #expect(try server.cli("-n", "3", "EXISTS", "{orders}:meta") == "1")
        #expect(try await failure("\(server.url)/99")?.code == .invalidArgument)
    }

    @Test func passwordAndUser() async throws {
        let server = try PrivateRedis(["--requirepass", "s:ecret@/?#%"])
        let encoded = "s%3Aecret%40%2F%3F%23%25"
        try await roundTrip(try queue("redis://:\(encoded)@127.0.0.1:\(server.port)"))
        #expect(try await failure("redis://:secret-wrong@127.0.0.1:\(server.port)")?.code == .authentication)
        #expect(try await failure("redis://127.0.0.1:\(server.port)")?.code == .authentication)
        try server.cli(
            "-a",
            "s:ecret@/?#%",
            "ACL",
            "SETUSER",
            "shop",
            "on",
            ">secret",
            "~*",
            "&*",
            "+@all",
            "-@dangerous",
            "+info",
            "+config|get"
        )
        try await roundTrip(try queue("redis://shop:secret@127.0.0.1:\(server.port)"))
        try server.cli(
            "-a",
            "s:ecret@/?#%",
            "ACL",
            "SETUSER",
            "reader",
            "on",
            ">secret",
            "~*",
            "+@read",
            "+client",
            "+script"
        )
        #expect(try await failure("redis://reader:secret@127.0.0.1:\(server.port)")?.code == .permissionDenied)
    }

    /// A server that knows no AUTH repeats what it was sent; the error does not.
    @Test func passwordIsNeverRepeated() async throws {
        let server = try PrivateRedis(["--rename-command", "AUTH", ""])
        let error = try await failure("redis://user:secret@127.0.0.1:\(server.port)")
        #expect(error?.code == .authentication)
    }

    @Test func unreachable() async throws {
        let port = try PrivateRedis.freePort()
        let error = try await failure("redis://user:secret@127.0.0.1:\(port)")
        #expect(error?.code == .unavailable && error?.message.contains("127.0.0.1:\(port)") == true)
        #expect(error?.message.contains("refused") == true)
        let name = try await failure("redis://no-such-host.invalid:6379")
        #expect(name?.code == .unavailable && name?.message.contains("no-such-host.invalid") == true)
        let socket = try await failure("unix:///nowhere/socket")
        #expect(socket?.code == .unavailable)
    }

    /// Something listens that is no Redis.
    @Test func notRedis() async throws {
        let server = try PrivateRedis()
        // A TLS client on a plain port.
        let error = try await failure("rediss://:secret@127.0.0.1:\(server.port)?connect_timeout=2")
        #expect(error?.code == .unavailable)
    }

    @Test func tls() async throws {
        let folder = FileManager.default.temporaryDirectory.appending(path: "mq-tls-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(at: folder) }
        let (key, certificate) = (folder.path + "/key.pem", folder.path + "/cert.pem")
        let openssl = try ChildProcess(
            "/usr/bin/openssl",
            [
                "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", key, "-out", certificate, "-days", "2",
                "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost",
            ]
        )
        openssl.end(within: 30)
        try #require(openssl.status == 0)
        let port = try PrivateRedis.freePort()
        let server = try PrivateRedis([
            "--tls-port", String(port), "--tls-cert-file", certificate, "--tls-key-file", key, "--tls-ca-cert-file",
            certificate, "--tls-auth-clients", "no",
        ])
        try await roundTrip(try queue("rediss://localhost:\(port)?tls_ca=\(certificate)"))
        // Without the authority, under another name, and at an address: refused, and not tried again for ever.
        let unknown = try await failure("rediss://localhost:\(port)")
        #expect(unknown?.code == .unavailable && unknown?.isRetryable == false, "\(unknown?.message ?? "")")
        let misnamed = try await failure("rediss://localhost:\(port)?tls_ca=\(certificate)&tls_name=example.org")
        #expect(misnamed?.code == .unavailable && misnamed?.isRetryable == false, "\(misnamed?.message ?? "")")
        // The server stops and comes back: a broken TLS connection is like any other, and consuming goes on.
        let queue = try queue("rediss://localhost:\(port)?tls_ca=\(certificate)")
        try await queue.declare(definition("restarted"))
        let consumer = try await queue.consume("restarted", group: "g", consumer: "c")
        async let waiting = consumer.receive(max: 1, wait: .seconds(20))
        try await Task.sleep(for: .milliseconds(100))
        server.crash()
        try server.start()
        #expect(
            try await eventually(within: .seconds(15)) {
                let outcomes = try? await queue.publish([Message(text: "after", id: "after")], to: "restarted")
                return outcomes?.first?.isConfirmed ?? false
            }
        )
        #expect(try await waiting.first?.message.id == "after")
        await queue.close()
    }

    /// A body over the limit is refused before a byte of it is sent; the rest of its batch is published.
    @Test func largeBodies() async throws {
        let server = try PrivateRedis()
        let queue = try server.makeQueue()
        try await queue.declare(definition(lease: .seconds(30)))
        let limit = try await queue.capabilities().maxBodyBytes
        let outcomes = try await queue.publish(
            [
                Message(body: [1], id: "a"), Message(body: [UInt8](repeating: 7, count: limit + 1), id: "b"),
                Message(body: [UInt8](repeating: 8, count: limit), id: "c"), Message(body: [2], id: "d"),
            ],
            to: "orders"
        )
        #expect(outcomes.map(\.isConfirmed) == [true, false, true, true])
        #expect(outcomes[1].error?.code == .tooLarge)
        let consumer = try await queue.consume("orders", group: "g", consumer: "c")
        let taken = try await consumer.take(3)
        #expect(taken.map(\.message.id.rawValue) == ["a", "c", "d"])
        #expect(taken.first { $0.message.id == "c" }?.message.body.count == limit)
        await queue.close()
    }
}

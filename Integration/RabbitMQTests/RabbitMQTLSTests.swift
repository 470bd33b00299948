import BrokerSupport
import Foundation
import Messaging
import MessagingRabbitMQ
import TestSupport
import Testing

/// Encrypted connections to a node that asks for client certificates, with certificates made for this run.
@Suite(
    "RabbitMQ over TLS",
    .enabled(if: PrivateRabbitMQ.isInstalled, "rabbitmq-server is not installed; make test installs it"),
    .enabled(if: Certificates.areThere, "openssl is not installed; make test installs it"),
    .serialized,
    .timeLimit(.minutes(5))
)
struct RabbitMQTLSTests {
    private static let password = "ge/h%e:im@1"
    private static let encoded = "ge%2Fh%25e%3Aim%401"

    @Test("who shows the right certificates gets in, everyone else is told why, and nobody is told the password")
    func tls() async throws {
        let certificates = try Certificates()
        let port = try PrivateRedis.freePort()
        let server = try PrivateRabbitMQ([
            "listeners.ssl.default = 127.0.0.1:\(port)",
            "ssl_options.cacertfile = \(certificates.path("ca.pem"))",
            "ssl_options.certfile = \(certificates.path("server.pem"))",
            "ssl_options.keyfile = \(certificates.path("server.key"))",
            "ssl_options.verify = verify_peer", "ssl_options.fail_if_no_peer_cert = true",
        ])
        try server.ctl(["add_vhost", "team/a"])
        try server.ctl(["add_user", "u:1", Self.password])
        try server.ctl(["set_permissions", "--vhost", "team/a", "u:1", ".*", ".*", ".*"])
        try server.ctl(["set_permissions", "u:1", ".*", ".*", ".*"])

        let credentials = "u%3A1:\(Self.encoded)"
        let ours = "tls_cert=\(certificates.path("client.pem"))&tls_key=\(certificates.path("client.key"))"
        let trusted = "tls_ca=\(certificates.path("ca.pem"))"
        for virtualHost in ["", "/%2f", "/team%2fa"] {
            try await roundTrip("amqps://\(credentials)@localhost:\(port)\(virtualHost)?\(trusted)&\(ours)")
        }

        let wrongCA = "tls_ca=\(certificates.path("other-ca.pem"))"
        let foreign = "tls_cert=\(certificates.path("foreign.pem"))&tls_key=\(certificates.path("foreign.key"))"
        for (url, code, word) in [
            ("localhost:\(port)?\(wrongCA)&\(ours)", QueueError.Code.unavailable, "certificate"),
            ("localhost:\(port)?\(ours)", .unavailable, "certificate"),
            ("localhost:\(port)?\(trusted)", .unavailable, "tls_cert"),
            ("localhost:\(port)?\(trusted)&\(foreign)", .unavailable, "tls_cert"),
            ("localhost:\(port)/nowhere?\(trusted)&\(ours)", .permissionDenied, "virtual host"),
            // A port that speaks no TLS.
            ("localhost:\(server.port)?\(trusted)&\(ours)", .unavailable, "port is a TLS one"),
            ("localhost:\(port)?tls_ca=\(certificates.path("nothing.pem"))", .invalidArgument, "tls_ca"),
            ("localhost:\(port)?\(trusted)&tls_cert=/nothing&tls_key=/nothing", .invalidArgument, "tls_cert"),
        ] {
            let error = try await failure("amqps://\(credentials)@\(url)")
            #expect(error.code == code && error.message.contains(word), "\(url): \(error)")
        }
        let wrong = try await failure("amqps://u%3A1:\(Self.encoded)x@localhost:\(port)?\(trusted)&\(ours)")
        #expect(wrong.code == .authentication && wrong.message.contains("password"), "\(wrong)")

        // Another name: the same listener with a certificate for somebody else, right in everything but that.
        try certificates.replace("server", by: "misnamed")
        try server.ctl(["eval", "ssl:clear_pem_cache()."])
        let misnamed = try await failure("amqps://\(credentials)@localhost:\(port)?\(trusted)&\(ours)")
        #expect(misnamed.code == .unavailable && !misnamed.isRetryable, "\(misnamed)")
        #expect(misnamed.message.contains("certificate's name"), "\(misnamed)")
        // And it was the name: a client that does not ask for it is not possible, so another one proves the rest.
        #expect(try certificates.verifies(at: port, name: "elsewhere.example"))
        #expect(try !certificates.verifies(at: port, name: "localhost"))
    }

    @Test("an address cannot be checked, so it is refused before a byte is sent")
    func addresses() async throws {
        for host in ["127.0.0.1", "[::1]"] {
            let error = #expect(throws: QueueError.self) {
                try RabbitMQConfiguration(url: "amqps://u:geheim@\(host):5671")
            }
            #expect(error?.code == .invalidArgument && error?.message.contains("name") == true)
            #expect(error?.message.contains("geheim") == false)
        }
    }

    private func roundTrip(_ url: String) async throws {
        let queue = try makeQueue(url)
        let definition = definition("tls")
        try await queue.declare(definition)
        // More than one TLS record and more than one frame.
        let message = Message(body: (0..<300_000).map { UInt8(truncatingIfNeeded: $0) })
        try await queue.publish(message, to: definition.name)
        let consumer = try await queue.consume(definition.name, group: "g", consumer: "c")
        let delivery = try #require(try await consumer.take(1).first)
        #expect(delivery.message == message)
        try await consumer.acknowledge(delivery)
        await queue.close()
    }

    /// What the first call says.
    private func failure(_ url: String) async throws -> QueueError {
        let queue = try makeQueue(url) { $0.connectTimeout = .seconds(5) }
        let error = try #require(await #expect(throws: QueueError.self) { try await queue.queues() })
        let said = "\(error) \(error.underlying.map { "\($0)" } ?? "") \(try RabbitMQConfiguration(url: url))"
        #expect(!said.contains(Self.password) && !said.contains(Self.encoded) && !said.contains("u:1"), "\(said)")
        await queue.close()
        return error
    }
}

/// Authorities and certificates in a temporary folder.
private final class Certificates {
    private struct Failure: Error, CustomStringConvertible {
        let description: String
    }

    private static let openssl = ["/usr/bin/openssl", "/opt/homebrew/bin/openssl", "/usr/local/bin/openssl"]
        .first { FileManager.default.isExecutableFile(atPath: $0) }

    static var areThere: Bool { openssl != nil }

    private let folder: URL

    init() throws {
        folder = FileManager.default.temporaryDirectory.appending(path: "mq-tls-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        for authority in ["ca", "other-ca"] {
            try run(
                ["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=\(authority)"]
                    + ["-keyout", path("\(authority).key"), "-out", path("\(authority).pem")]
            )
        }
        try issue("server", "DNS:localhost", by: "ca")
        try issue("misnamed", "DNS:elsewhere.example", by: "ca")
        try issue("client", "DNS:client", by: "ca")
        try issue("foreign", "DNS:client", by: "other-ca")
    }

    deinit { try? FileManager.default.removeItem(at: folder) }

    func path(_ name: String) -> String { folder.appending(path: name).path }

    /// Puts the certificate and key of one name in the place of another's.
    func replace(_ name: String, by other: String) throws {
        for kind in ["pem", "key"] {
            try Data(contentsOf: folder.appending(path: "\(other).\(kind)"))
                .write(to: folder.appending(path: "\(name).\(kind)"))
        }
    }

    /// Whether openssl, asking for a name, accepts what a listener shows.
    func verifies(at port: Int, name: String) throws -> Bool {
        let process = try ChildProcess(
            Self.openssl ?? "",
            ["s_client", "-connect", "127.0.0.1:\(port)", "-CAfile", path("ca.pem"), "-verify_hostname", name]
                + ["-verify_return_error", "-cert", path("client.pem"), "-key", path("client.key")]
        )
        process.end(within: 30)
        return process.status == 0
    }

    private func issue(_ name: String, _ subject: String, by authority: String) throws {
        let extensions = "subjectAltName=\(subject)\n"
        try Data(extensions.utf8).write(to: folder.appending(path: "extensions"))
        try run(
            ["req", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=\(name)", "-keyout", path("\(name).key")]
                + ["-out", path("request")]
        )
        try run(
            ["x509", "-req", "-in", path("request"), "-CA", path("\(authority).pem"), "-CAkey"]
                + [path("\(authority).key"), "-CAcreateserial", "-days", "2", "-extfile", path("extensions")]
                + ["-out", path("\(name).pem")]
        )
    }

    private func run(_ arguments: [String]) throws {
        let process = try ChildProcess(Self.openssl ?? "", arguments, errors: path("errors"))
        process.end(within: 60)
        guard process.status == 0 else {
            let text = (try? String(contentsOf: folder.appending(path: "errors"), encoding: .utf8)) ?? ""
            throw Failure(description: "openssl \(arguments.first ?? "") failed: \(text)")
        }
    }
}

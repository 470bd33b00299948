import Messaging
import MessagingSQLite
import Testing

@Suite("SQLite URLs")
struct SQLiteConfigurationTests {
    @Test(arguments: [
        ("sqlite:///var/lib/mq.sqlite", "/var/lib/mq.sqlite"),
        ("sqlite://queues/mq.sqlite", "queues/mq.sqlite"),
        ("sqlite:mq.sqlite", "mq.sqlite"),
        ("sqlite:./mq.sqlite", "./mq.sqlite"),
        ("SQLite:mq.sqlite", "mq.sqlite"),
        ("sqlite:///with%20space/50%25.sqlite", "/with space/50%.sqlite"),
        ("sqlite:///a.sqlite?timeout=2", "/a.sqlite"),
    ])
    func paths(url: String, path: String) throws {
        #expect(try SQLiteConfiguration(url: url).path == path)
    }

    @Test func options() throws {
        let configuration = try SQLiteConfiguration(
            url: "sqlite:///a?synchronous=normal&timeout=2.5&max_body=1000&max_file=2097152"
        )
        #expect(configuration.synchronous == .normal)
        #expect(configuration.timeout == .milliseconds(2500))
        #expect(configuration.maxBodyBytes == 1000)
        #expect(configuration.maxFileBytes == 2_097_152)
    }

    @Test(arguments: [
        "redis://host", "sqlite:", "sqlite://", "sqlite:///a?what=1", "sqlite:///a?timeout=0", "sqlite:///a?timeout=x",
        "sqlite:///a?synchronous=off", "sqlite:///a?max_body=0", "sqlite:///a?max_file=1", "sqlite::memory:",
        "sqlite:///%zz", "sqlite:///%4", "sqlite:///a%00b", "sqlite:///%ff",
    ])
    func refused(url: String) {
        let error = #expect(throws: QueueError.self) { try SQLiteConfiguration(url: url) }
        #expect(error?.code == .invalidArgument)
        #expect(error?.message.hasPrefix("the SQLite URL cannot be used") == true)
    }
}

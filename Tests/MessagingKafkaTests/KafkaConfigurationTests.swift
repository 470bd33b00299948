import Messaging
import Testing

@testable import MessagingKafka

@Suite("Kafka URLs")
struct KafkaConfigurationTests {
    @Test func everything() throws {
        let url =
            "kafkas://us%40er:p%3Aw%2F@one:1,two,[::1]:3?sasl=scram-sha-256&tls_ca=/ca.pem&timeout=2&session_timeout=6.5"
            + "&publish_timeout=4&partitions=7&replication=2&max_body=1000&instance=host-1&rdkafka.linger.ms=0&clean_interval=9"
        let read = try KafkaConfiguration(url: url)
        #expect(read.servers == ["one:1", "two:9092", "[::1]:3"])
        #expect(read.username == "us@er" && read.password == "p:w/" && read.mechanism == .scramSHA256)
        #expect(read.tls?.caFile == "/ca.pem" && read.timeout == .seconds(2) && read.publishTimeout == .seconds(4))
        #expect(read.sessionTimeout == .milliseconds(6500) && read.cleanInterval == .seconds(9))
        #expect(read.partitions == 7 && read.replication == 2 && read.maxBodyBytes == 1000)
        #expect(read.instance == "host-1" && read.settings == ["linger.ms": "0"])
        #expect(read.description == "kafkas://one:1,two:9092,[::1]:3")
        let settings = Dictionary(read.memberSettings(group: "g").map { ($0.name, $0.value) }) { $1 }
        #expect(settings["security.protocol"] == "sasl_ssl" && settings["sasl.password"] == "p:w/")
        #expect(settings["linger.ms"] == "0" && settings["group.instance.id"] == "host-1")
        #expect(settings["enable.auto.commit"] == "false" && settings["enable.auto.offset.store"] == "false")
    }

    @Test func defaults() throws {
        let read = try KafkaConfiguration(url: "kafka://")
        #expect(read.servers == ["127.0.0.1:9092"] && read.tls == nil && read.username == nil)
        let settings = Dictionary(read.producerSettings.map { ($0.name, $0.value) }) { $1 }
        #expect(settings["enable.idempotence"] == "true" && settings["security.protocol"] == "plaintext")
    }

    @Test(arguments: [
        "kafka", "amqp://host", "kafka://secret@host/path", "kafka://u:se%zzcret@h", "kafka://h:0", "kafka://h:x",
        "kafka://[::1",
        "kafka://h?partitions=0", "kafka://h?tls_ca=x", "kafka://h?sasl=secret", "kafka://h?rdkafka.group.id=x",
        "kafka://h?rdkafka.enable.auto.commit=true", "kafka://h?secret%20=1", "kafka://h?timeout=-1", "kafka://a b",
        "kafka://::1", "kafka://h?instance=se cret",
    ])
    func broken(_ url: String) throws {
        let error = #expect(throws: QueueError.self) { try KafkaConfiguration(url: url) }
        #expect(error?.code == .invalidArgument)
        #expect(error?.message.contains("secret") == false, "\(error?.message ?? "")")
    }

    @Test("a setting that librdkafka does not take is named, and its value is not")
    func unknownSetting() {
        var configuration = KafkaConfiguration()
        configuration.settings = ["no.such.setting": "secret"]
        let failure = #expect(throws: KafkaFailure.self) {
            try KafkaClient(.producer, settings: configuration.producerSettings)
        }
        #expect(failure?.text.contains("no.such.setting") == true && failure?.text.contains("secret") == false)
    }
}

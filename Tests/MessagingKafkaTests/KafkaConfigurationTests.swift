import Messaging
import Testing

@testable import MessagingKafka

@Suite("Kafka URLs")
struct KafkaConfigurationTests {
    @Test func everything() throws {
        let url =
            "kafkas://us%40er:p%3Aw%2F@one:1,two,[::1]:3?sasl=scram-sha-256&tls_ca=/ca.pem&timeout=2&session_timeout=6.5"
            + "&publish_timeout=4&partitions=7&replication=2&max_body=1000&instance=host-1&rdkafka.linger.ms=0"
            + "&clean_interval=9&poll_timeout=7&metrics_interval=0"
        let read = try KafkaConfiguration(url: url)
        #expect(read.servers == ["one:1", "two:9092", "[::1]:3"])
        #expect(read.username == "us@er" && read.password == "p:w/" && read.mechanism == .scramSHA256)
        #expect(read.tls?.caFile == "/ca.pem" && read.timeout == .seconds(2) && read.publishTimeout == .seconds(4))
        #expect(read.sessionTimeout == .milliseconds(6500) && read.cleanInterval == .seconds(9))
        #expect(read.pollTimeout == .seconds(7) && read.metricsInterval == nil)
        #expect(read.partitions == 7 && read.replication == 2 && read.maxBodyBytes == 1000)
        #expect(read.instance == "host-1" && read.settings == ["linger.ms": "0"])
        #expect(read.description == "kafkas://one:1,two:9092,[::1]:3")
        let settings = Dictionary(read.memberSettings(group: "g").map { ($0.name, $0.value) }) { $1 }
        #expect(settings["security.protocol"] == "sasl_ssl" && settings["sasl.password"] == "p:w/")
        #expect(settings["linger.ms"] == "0" && settings["group.instance.id"] == "host-1")
        #expect(settings["enable.auto.commit"] == "false" && settings["enable.auto.offset.store"] == "false")
    }

    @Test("TLS and SASL are what librdkafka is told, and it takes them")
    func security() throws {
        let cases: [(url: String, protocol: String, mechanism: String?)] = [
            ("kafka://h", "plaintext", nil), ("kafkas://h", "ssl", nil),
            ("kafka://u:p@h", "sasl_plaintext", "PLAIN"), ("kafkas://u:p@h", "sasl_ssl", "PLAIN"),
            ("kafkas://u:p@h?sasl=SCRAM-SHA-256", "sasl_ssl", "SCRAM-SHA-256"),
            ("kafka://u:p@h?sasl=scram-sha-512", "sasl_plaintext", "SCRAM-SHA-512"),
        ]
        for (url, name, mechanism) in cases {
            let configuration = try KafkaConfiguration(url: url)
            for list in [
                configuration.producerSettings, configuration.memberSettings(group: "g"),
                configuration.readerSettings(),
            ] {
                let settings = Dictionary(list.map { ($0.name, $0.value) }) { $1 }
                #expect(settings["security.protocol"] == name, "\(url)")
                #expect(settings["sasl.mechanism"] == mechanism, "\(url)")
                #expect(settings["sasl.username"] == (mechanism == nil ? nil : "u"))
                #expect(settings["sasl.password"] == (mechanism == nil ? nil : "p"))
                #expect(settings["enable.ssl.certificate.verification"] == nil, "librdkafka's default is to verify")
            }
            // None of them connects: the host has no broker.
            _ = try KafkaClient(.producer, settings: configuration.producerSettings)
        }
        var configuration = try KafkaConfiguration(url: "kafkas://h?tls_ca=/no/such.pem&tls_cert=/c.pem&tls_key=/k.pem")
        let settings = Dictionary(configuration.producerSettings.map { ($0.name, $0.value) }) { $1 }
        #expect(settings["ssl.ca.location"] == "/no/such.pem" && settings["ssl.certificate.location"] == "/c.pem")
        #expect(settings["ssl.key.location"] == "/k.pem")
        let failure = #expect(throws: KafkaFailure.self) {
            try KafkaClient(.producer, settings: configuration.producerSettings)
        }
        #expect(failure?.text.contains("ssl.ca.location") == true, "\(failure?.text ?? "")")
        configuration.password = "secret"
        #expect(!"\(configuration)".contains("secret"))
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

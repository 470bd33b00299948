#if Redis
import Messaging
import Testing

@testable import MessagingRedis

@Suite("The URL of a Redis")
struct ConfigurationTests {
    struct Good: Sendable, CustomStringConvertible {
        let url: String
        var endpoint = RedisConfiguration.Endpoint.tcp(host: "127.0.0.1", port: 6379)
        var tls = false
        var username: String?
        var password: String?
        var database = 0
        var shown = "redis://127.0.0.1:6379"
        var description: String { url }
    }

    @Test(
        "what it says",
        arguments: [
            Good(url: "redis://"),
            Good(url: "redis:///"),
            Good(url: "redis://127.0.0.1"),
            Good(url: "REDIS://h", endpoint: .tcp(host: "h", port: 6379), shown: "redis://h:6379"),
            Good(url: "redis://:7000", endpoint: .tcp(host: "127.0.0.1", port: 7000), shown: "redis://127.0.0.1:7000"),
            Good(url: "redis://h:1/", endpoint: .tcp(host: "h", port: 1), shown: "redis://h:1"),
            Good(url: "redis://h/5", endpoint: .tcp(host: "h", port: 6379), database: 5, shown: "redis://h:6379/5"),
            Good(url: "redis://h?db=7", endpoint: .tcp(host: "h", port: 6379), database: 7, shown: "redis://h:6379/7"),
            Good(url: "rediss://h:1", endpoint: .tcp(host: "h", port: 1), tls: true, shown: "rediss://h:1"),
            Good(
                url: "redis://me:hunter2@h",
                endpoint: .tcp(host: "h", port: 6379),
                username: "me",
                password: "hunter2",
                shown: "redis://h:6379"
            ),
            Good(url: "redis://:hunter2@", password: "hunter2"),
            Good(url: "redis://me@", username: "me"),
            Good(
                url: "redis://us%40er:p%3Aa%2Fs%25%C3%A9@h",
                endpoint: .tcp(host: "h", port: 6379),
                username: "us@er",
                password: "p:a/s%é",
                shown: "redis://h:6379"
            ),
            Good(
                url: "redis://u:a@b:c@h",
                endpoint: .tcp(host: "h", port: 6379),
                username: "u",
                password: "a@b:c",
                shown: "redis://h:6379"
            ),
            Good(
                url: "redis://[::1]:7000/2",
                endpoint: .tcp(host: "::1", port: 7000),
                database: 2,
                shown: "redis://[::1]:7000/2"
            ),
            Good(
                url: "redis://[fe80::1]",
                endpoint: .tcp(host: "fe80::1", port: 6379),
                shown: "redis://[fe80::1]:6379"
            ),
            Good(
                url: "unix:///run/redis.sock",
                endpoint: .unix(path: "/run/redis.sock"),
                shown: "unix:///run/redis.sock"
            ),
            Good(
                url: "redis+unix://:hunter2@/run/a%20b.sock?db=3",
                endpoint: .unix(path: "/run/a b.sock"),
                password: "hunter2",
                database: 3,
                shown: "unix:///run/a b.sock/3"
            ),
            Good(url: "redis+socket:///s", endpoint: .unix(path: "/s"), shown: "unix:///s"),
        ]
    )
    func good(_ good: Good) throws {
        let configuration = try RedisConfiguration(url: good.url)
        #expect(configuration.endpoint == good.endpoint)
        #expect((configuration.tls != nil) == good.tls)
        #expect(configuration.username == good.username)
        #expect(configuration.password == good.password)
        #expect(configuration.database == good.database)
        #expect("\(configuration)" == good.shown)
    }

    @Test("its options")
    func options() throws {
        let configuration = try RedisConfiguration(
            url: "rediss://h?connect_timeout=1.5&command_timeout=30&heartbeat=2&max_body=1024&db=4"
                + "&tls_ca=%2Fca.pem&tls_cert=/c.pem&tls_key=/k.pem&tls_name=redis.example"
        )
        #expect(configuration.connectTimeout == .seconds(1.5))
        #expect(configuration.commandTimeout == .seconds(30))
        #expect(configuration.heartbeat == .seconds(2))
        #expect(configuration.maxBodyBytes == 1024)
        #expect(configuration.database == 4)
        let tls = RedisConfiguration.TLS(
            caFile: "/ca.pem",
            certificateFile: "/c.pem",
            keyFile: "/k.pem",
            serverName: "redis.example"
        )
        #expect(configuration.tls == tls)
        #expect(configuration.tlsServerName == "redis.example")
        #expect(try RedisConfiguration(url: "rediss://h").tlsServerName == "h")
        // An address is no name that a certificate is asked for by SNI.
        #expect(try RedisConfiguration(url: "rediss://127.0.0.1").tlsServerName == nil)
        #expect(try RedisConfiguration(url: "rediss://[::1]").tlsServerName == nil)
    }

    @Test(
        "what cannot be used, and that no error shows the password",
        arguments: [
            ("", "scheme"), ("localhost:6379", "scheme"), ("redis:/h", "scheme"), ("http://:hunter2@h", "scheme"),
            ("hunter2://h", "scheme"), ("redis://:hunter2@h:x", "the port"), ("redis://:hunter2@h:0", "the port"),
            ("redis://:hunter2@h:65536", "the port"), ("redis://:hunter2@h/x", "the database"),
            ("redis://:hunter2@h/-1", "the database"), ("redis://:hunter2@h?db=x", "db"),
            ("redis://:hunter2@h/1/2", "the database"), ("redis://:hunter2%@h", "'%'"), ("redis://:hunter2%4@h", "'%'"),
            ("redis://:hunter2%zz@h", "'%'"), ("redis://:hunter2%+5@h", "'%'"), ("redis://:hunter2%FF@h", "UTF-8"),
            ("redis://%FF:hunter2@h", "UTF-8"), ("redis://:hunter2@[::1", "']'"),
            ("redis://:hunter2@h?colour=red", "option"),
            ("redis://:hunter2@h?heartbeat=0", "heartbeat"), ("redis://:hunter2@h?heartbeat=-1", "heartbeat"),
            ("redis://:hunter2@h?heartbeat=nan", "heartbeat"), ("redis://:hunter2@h?heartbeat=inf", "heartbeat"),
            ("redis://:hunter2@h?connect_timeout=86401", "connect_timeout"),
            ("redis://:hunter2@h?command_timeout=soon", "command_timeout"),
            ("redis://:hunter2@h?max_body=0", "max_body"),
            ("redis://:hunter2@h?max_body=1000000000000", "max_body"), ("redis://:hunter2@h?tls_ca=/ca", "rediss"),
            ("unix://run/redis.sock", "absolute"), ("unix://:hunter2@", "absolute"), ("unix://", "absolute"),
            // What should have been percent-encoded.
            ("redis://:1?hunter2@h", "option"), ("redis://:1?hunter2=1@h", "option"),
            ("redis://:hunter/hunter2@h", "the port"),
            ("redis://:1/hunter2@h", "the database"), ("unix://:x/hunter2@/s", "absolute"),
        ]
    )
    func bad(_ url: String, _ reason: String) {
        let error = #expect(throws: QueueError.self) { try RedisConfiguration(url: url) }
        #expect(error?.code == .invalidArgument)
        #expect(error?.message.contains(reason) == true, "\(error?.message ?? "")")
        #expect(error.map { !"\($0)".contains("hunter") } == true, "\(error?.message ?? "")")
    }

    @Test("neither description nor interpolation shows user or password")
    func secrecy() {
        let configuration = RedisConfiguration(username: "admin", password: "hunter2", database: 3)
        #expect("\(configuration)" == "redis://127.0.0.1:6379/3")
        #expect(String(describing: configuration) == configuration.description)
        #expect(!String(reflecting: configuration).contains("hunter2"))
        var dumped = ""
        print(configuration, to: &dumped)
        #expect(!dumped.contains("hunter2"))
    }
}
#endif

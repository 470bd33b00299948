// swift-tools-version: 6.2
import PackageDescription

// Settings of every target of ours. Dependencies are built with their own.
let settings: [SwiftSetting] = [
    .swiftLanguageMode(.v6),
    .treatAllWarnings(as: .error),
    // https://github.com/swiftlang/swift-evolution/blob/main/proposals/0335-existential-any.md
    .enableUpcomingFeature("ExistentialAny"),
    // https://github.com/swiftlang/swift-evolution/blob/main/proposals/0444-member-import-visibility.md
    .enableUpcomingFeature("MemberImportVisibility"),
    // https://github.com/swiftlang/swift-evolution/blob/main/proposals/0461-async-function-isolation.md
    .enableUpcomingFeature("NonisolatedNonsendingByDefault"),
]

/// A dependency that only exists while the trait `Redis` is on, so that the core builds without any C library.
func onlyWithRedis(_ name: String, _ package: String) -> Target.Dependency {
    .product(name: name, package: package, condition: .when(traits: ["Redis"]))
}

/// A dependency that only exists while the trait `RabbitMQ` is on.
func onlyWithRabbitMQ(_ name: String, _ package: String) -> Target.Dependency {
    .product(name: name, package: package, condition: .when(traits: ["RabbitMQ"]))
}

let logging: Target.Dependency = .product(name: "Logging", package: "swift-log")
let metrics: Target.Dependency = .product(name: "Metrics", package: "swift-metrics")
let lifecycle: Target.Dependency = .product(name: "ServiceLifecycle", package: "swift-service-lifecycle")
let redisBackend: Target.Dependency = .target(name: "MessagingRedis", condition: .when(traits: ["Redis"]))
let kafkaBackend: Target.Dependency = .target(name: "MessagingKafka", condition: .when(traits: ["Kafka"]))
let rabbitMQBackend: Target.Dependency = .target(
    name: "MessagingRabbitMQ",
    condition: .when(traits: ["RabbitMQ"])
)
let sqliteBackend: Target.Dependency = .target(name: "MessagingSQLite", condition: .when(traits: ["SQLite"]))
let grdb: Target.Dependency = .product(name: "GRDB", package: "GRDB.swift", condition: .when(traits: ["SQLite"]))
let sqlite3: Target.Dependency = .product(
    name: "GRDBSQLite",
    package: "GRDB.swift",
    condition: .when(traits: ["SQLite"])
)
let httpClient: Target.Dependency = .product(name: "AsyncHTTPClient", package: "async-http-client")

// Debian's hiredis.pc names a flag that SwiftPM warns about, and its headers are where the compiler looks anyway.
#if os(macOS)
let hiredisPackage: String? = "hiredis"
let rdkafkaPackage: String? = "rdkafka"
#else
let hiredisPackage: String? = nil
let rdkafkaPackage: String? = nil
#endif

let package = Package(
    name: "swift-message-queue",
    platforms: [.macOS(.v15)],
    products: [
        .library(name: "Messaging", targets: ["Messaging"]),
        .library(name: "MessagingMemory", targets: ["MessagingMemory"]),
        .library(name: "MessagingRedis", targets: ["MessagingRedis"]),
        .library(name: "MessagingKafka", targets: ["MessagingKafka"]),
        .library(name: "MessagingRabbitMQ", targets: ["MessagingRabbitMQ"]),
        .library(name: "MessagingSQLite", targets: ["MessagingSQLite"]),
        .library(name: "MessagingConformance", targets: ["MessagingConformance"]),
        .library(name: "MessagingConformanceFaults", targets: ["MessagingConformanceFaults"]),
        .library(name: "MessagingMigration", targets: ["MessagingMigration"]),
        .library(name: "MessagingPipeline", targets: ["MessagingPipeline"]),
        .library(name: "MessagingBenchmark", targets: ["MessagingBenchmark"]),
        .executable(name: "mq", targets: ["mq"]),
    ],
    traits: [
        .trait(name: "Redis", description: "The Redis Streams backend (needs libhiredis)."),
        .trait(name: "RabbitMQ", description: "The RabbitMQ backend (needs librabbitmq)."),
        .trait(name: "Kafka", description: "The Apache Kafka backend (needs librdkafka)."),
        .trait(name: "SQLite", description: "The embedded durable backend (needs libsqlite3)."),
        .default(enabledTraits: ["Redis", "RabbitMQ", "Kafka", "SQLite"]),
    ],
    dependencies: [
        .package(url: "https://github.com/apple/swift-argument-parser", from: "1.8.2"),
        .package(url: "https://github.com/apple/swift-log", from: "1.16.2"),
        .package(url: "https://github.com/apple/swift-metrics", from: "2.13.0"),
        .package(url: "https://github.com/apple/swift-distributed-tracing", from: "1.7.3"),
        .package(url: "https://github.com/apple/swift-service-context", from: "1.5.1"),
        .package(url: "https://github.com/apple/swift-nio", from: "2.101.2"),
        .package(url: "https://github.com/apple/swift-nio-ssl", from: "2.37.6"),
        .package(url: "https://github.com/apple/swift-nio-extras", from: "1.35.2"),
        .package(url: "https://github.com/apple/swift-collections", from: "1.6.0"),
        .package(url: "https://github.com/apple/swift-crypto.git", from: "4.5.2"),
        .package(url: "https://github.com/swift-server/swift-service-lifecycle", from: "2.13.0"),
        .package(url: "https://github.com/swift-server/async-http-client", from: "1.37.0"),
        .package(url: "https://github.com/hummingbird-project/hummingbird", from: "2.28.1"),
        .package(url: "https://github.com/groue/GRDB.swift", from: "7.10.0"),
        .package(url: "https://github.com/jpsim/Yams", from: "6.2.2"),
        .package(url: "https://github.com/swiftlang/swift-subprocess", from: "1.0.2"),
        .package(url: "https://github.com/HdrHistogram/hdrhistogram-swift", from: "0.2.0"),
    ],
    targets: [
        .target(
            name: "Messaging",
            dependencies: [
                logging, metrics, lifecycle,
                .product(name: "Tracing", package: "swift-distributed-tracing"),
                .product(name: "Instrumentation", package: "swift-distributed-tracing"),
                .product(name: "ServiceContextModule", package: "swift-service-context"),
            ],
            swiftSettings: settings
        ),
        .target(
            name: "MessagingMemory",
            dependencies: [
                "Messaging",
                .product(name: "DequeModule", package: "swift-collections"),
                .product(name: "OrderedCollections", package: "swift-collections"),
            ],
            swiftSettings: settings
        ),
        .systemLibrary(
            name: "CHiredis",
            pkgConfig: hiredisPackage,
            providers: [.apt(["libhiredis-dev"]), .brew(["hiredis"])]
        ),
        .target(
            name: "MessagingRedis",
            dependencies: [
                "Messaging", logging,
                .target(name: "CHiredis", condition: .when(traits: ["Redis"])),
                onlyWithRedis("NIOCore", "swift-nio"),
                onlyWithRedis("NIOPosix", "swift-nio"),
                onlyWithRedis("NIOConcurrencyHelpers", "swift-nio"),
                onlyWithRedis("NIOSSL", "swift-nio-ssl"),
                onlyWithRedis("DequeModule", "swift-collections"),
            ],
            resources: [.embedInCode("Scripts")],
            swiftSettings: settings
        ),
        .systemLibrary(
            name: "CRabbitMQ",
            pkgConfig: "librabbitmq",
            providers: [.apt(["librabbitmq-dev"]), .brew(["rabbitmq-c"])]
        ),
        .target(
            name: "MessagingRabbitMQ",
            dependencies: [
                "Messaging", logging,
                .target(name: "CRabbitMQ", condition: .when(traits: ["RabbitMQ"])),
                onlyWithRabbitMQ("DequeModule", "swift-collections"),
                onlyWithRabbitMQ("AsyncHTTPClient", "async-http-client"),
                onlyWithRabbitMQ("NIOCore", "swift-nio"),
                onlyWithRabbitMQ("NIOHTTP1", "swift-nio"),
            ],
            swiftSettings: settings
        ),
        .systemLibrary(
            name: "CRdKafka",
            pkgConfig: rdkafkaPackage,
            providers: [.apt(["librdkafka-dev"]), .brew(["librdkafka"])]
        ),
        .target(
            name: "MessagingKafka",
            dependencies: [
                "Messaging", logging, metrics,
                .target(name: "CRdKafka", condition: .when(traits: ["Kafka"])),
                .product(name: "DequeModule", package: "swift-collections", condition: .when(traits: ["Kafka"])),
                .product(name: "HeapModule", package: "swift-collections", condition: .when(traits: ["Kafka"])),
            ],
            swiftSettings: settings
        ),
        .target(
            name: "MessagingSQLite",
            dependencies: ["Messaging", logging, grdb, sqlite3],
            swiftSettings: settings
        ),
        .target(
            name: "MessagingConformance",
            dependencies: ["Messaging", "MessagingMemory", logging],
            swiftSettings: settings
        ),
        // The TCP proxy of the fault tier: apart from the suite, which does no I/O of its own.
        .target(
            name: "MessagingConformanceFaults",
            dependencies: [
                "MessagingConformance", "Messaging",
                .product(name: "NIOCore", package: "swift-nio"),
                .product(name: "NIOPosix", package: "swift-nio"),
            ],
            swiftSettings: settings
        ),
        .target(
            name: "MessagingMigration",
            dependencies: ["Messaging", logging, grdb, sqlite3, .product(name: "Crypto", package: "swift-crypto")],
            swiftSettings: settings
        ),
        .target(
            name: "MessagingPipeline",
            dependencies: [
                "Messaging", logging, metrics, lifecycle, httpClient,
                .product(name: "NIOCore", package: "swift-nio"),
                .product(name: "NIOHTTP1", package: "swift-nio"),
                .product(name: "NIOHTTPCompression", package: "swift-nio-extras"),
                .product(name: "Hummingbird", package: "hummingbird"),
            ],
            resources: [.embedInCode("API/openapi.json")],
            swiftSettings: settings
        ),
        .target(
            name: "MessagingBenchmark",
            dependencies: [
                "Messaging", logging, .product(name: "Histogram", package: "hdrhistogram-swift"),
            ],
            swiftSettings: settings
        ),
        // The client libraries alone, which the backends are compared with.
        .target(
            name: "MessagingBaselines",
            dependencies: [
                "Messaging", redisBackend, rabbitMQBackend, kafkaBackend, sqliteBackend, sqlite3,
                .target(name: "CHiredis", condition: .when(traits: ["Redis"])),
                .target(name: "CRabbitMQ", condition: .when(traits: ["RabbitMQ"])),
                .target(name: "CRdKafka", condition: .when(traits: ["Kafka"])),
            ],
            swiftSettings: settings
        ),
        .executableTarget(
            name: "mq",
            dependencies: [
                "Messaging", "MessagingMemory", "MessagingConformance", "MessagingMigration", "MessagingPipeline",
                "MessagingBenchmark", "MessagingBaselines", redisBackend,
                rabbitMQBackend, kafkaBackend, sqliteBackend, grdb, logging,
                metrics,
                lifecycle, httpClient,
                .product(name: "Yams", package: "Yams"),
                .product(name: "UnixSignals", package: "swift-service-lifecycle"),
                .product(name: "Hummingbird", package: "hummingbird"),
                .product(name: "NIOCore", package: "swift-nio"),
                .product(name: "ArgumentParser", package: "swift-argument-parser"),
            ],
            swiftSettings: settings
        ),

        // Tests/: hermetic, no server, no network, seconds.
        .target(
            name: "TestSupport",
            dependencies: ["Messaging", logging],
            path: "Tests/TestSupport",
            swiftSettings: settings
        ),
        // librdkafka's mock cluster.
        .target(
            name: "KafkaMock",
            dependencies: [
                "MessagingKafka", "Messaging", .target(name: "CRdKafka", condition: .when(traits: ["Kafka"])),
            ],
            path: "Tests/KafkaMock",
            swiftSettings: settings
        ),
        .target(
            name: "PipelineTestSupport",
            dependencies: ["MessagingPipeline", "TestSupport"],
            path: "Tests/PipelineTestSupport",
            swiftSettings: settings
        ),
        .testTarget(
            name: "MessagingTests",
            dependencies: [
                "Messaging", "MessagingMemory", "TestSupport", logging, metrics, lifecycle,
                .product(name: "Tracing", package: "swift-distributed-tracing"),
                .product(name: "Instrumentation", package: "swift-distributed-tracing"),
                .product(name: "MetricsTestKit", package: "swift-metrics"),
                .product(name: "InMemoryTracing", package: "swift-distributed-tracing"),
                .product(name: "InMemoryLogging", package: "swift-log"),
                .product(name: "ServiceLifecycleTestKit", package: "swift-service-lifecycle"),
            ],
            swiftSettings: settings
        ),
        .testTarget(
            name: "MessagingMemoryTests",
            dependencies: ["MessagingMemory", "Messaging", "MessagingConformance", "TestSupport"],
            swiftSettings: settings
        ),
        .testTarget(
            name: "MessagingRedisTests",
            dependencies: [
                "MessagingRedis", "Messaging", "TestSupport", logging,
                .product(name: "NIOCore", package: "swift-nio"),
                .product(name: "NIOEmbedded", package: "swift-nio"),
            ],
            swiftSettings: settings
        ),
        .testTarget(
            name: "MessagingKafkaTests",
            dependencies: [
                "MessagingKafka", "Messaging", "MessagingConformance", "KafkaMock", "TestSupport", logging,
                .target(name: "CRdKafka", condition: .when(traits: ["Kafka"])),
            ],
            swiftSettings: settings
        ),
        .testTarget(
            name: "MessagingRabbitMQTests",
            dependencies: ["MessagingRabbitMQ", "Messaging", "TestSupport", logging],
            swiftSettings: settings
        ),
        .testTarget(
            name: "MessagingSQLiteTests",
            dependencies: [
                "MessagingSQLite", "MessagingMemory", "Messaging", "MessagingConformance", "TestSupport", grdb, logging,
            ],
            swiftSettings: settings
        ),
        .testTarget(
            name: "MessagingMigrationTests",
            dependencies: [
                "MessagingMigration", "MessagingMemory", "MessagingSQLite", "Messaging", "TestSupport", grdb, logging,
            ],
            swiftSettings: settings
        ),
        .testTarget(
            name: "MessagingPipelineTests",
            dependencies: [
                "MessagingPipeline", "MessagingMemory", "Messaging", "TestSupport", "PipelineTestSupport", logging,
                metrics,
                lifecycle, httpClient,
                .product(name: "NIOCore", package: "swift-nio"),
                .product(name: "NIOHTTP1", package: "swift-nio"),
                .product(name: "NIOEmbedded", package: "swift-nio"),
                .product(name: "Hummingbird", package: "hummingbird"),
                .product(name: "HummingbirdTesting", package: "hummingbird"),
            ],
            swiftSettings: settings
        ),
        .testTarget(
            name: "FaultTests",
            dependencies: [
                "MessagingConformanceFaults", "MessagingConformance", "MessagingMemory", "Messaging", "TestSupport",
                .product(name: "NIOCore", package: "swift-nio"),
                .product(name: "NIOPosix", package: "swift-nio"),
            ],
            swiftSettings: settings
        ),
        .testTarget(
            name: "MessagingBenchmarkTests",
            dependencies: [
                "MessagingBenchmark", "MessagingBaselines", "MessagingMemory", "Messaging", "TestSupport", redisBackend,
                rabbitMQBackend, sqliteBackend,
            ],
            swiftSettings: settings
        ),
        // The backend that docs/conformance.md shows, written from the public API alone.
        .testTarget(
            name: "ExampleBackendTests",
            dependencies: ["Messaging", "MessagingConformance"],
            swiftSettings: settings
        ),
        .testTarget(
            name: "mqTests",
            dependencies: [
                "mq", "Messaging", "MessagingBenchmark", "MessagingConformance", "MessagingPipeline", "MessagingSQLite",
                "TestSupport",
                "PipelineTestSupport", grdb, logging,
                .product(name: "Subprocess", package: "swift-subprocess"),
            ],
            swiftSettings: settings
        ),

        // Integration/: live brokers on loopback, started by Integration/with-brokers.
        .target(
            name: "BrokerSupport",
            dependencies: [
                httpClient,
                .product(name: "NIOCore", package: "swift-nio"),
                .product(name: "NIOHTTP1", package: "swift-nio"),
            ],
            path: "Integration/Support",
            swiftSettings: settings
        ),
        .executableTarget(
            name: "queue-child",
            dependencies: [
                "Messaging", "MessagingConformance", "MessagingMigration", "MessagingBaselines", redisBackend,
                rabbitMQBackend, kafkaBackend, sqliteBackend, logging,
            ],
            path: "Integration/Child",
            swiftSettings: settings
        ),
        .testTarget(
            name: "RedisTests",
            dependencies: [
                "MessagingRedis", "Messaging", "MessagingConformance", "BrokerSupport", "TestSupport", "queue-child",
                logging,
            ],
            path: "Integration/RedisTests",
            swiftSettings: settings
        ),
        .testTarget(
            name: "KafkaTests",
            dependencies: [
                "MessagingKafka", "Messaging", "MessagingConformance", "BrokerSupport", "TestSupport", "queue-child",
                logging,
            ],
            path: "Integration/KafkaTests",
            swiftSettings: settings
        ),
        .testTarget(
            name: "RabbitMQTests",
            dependencies: [
                "MessagingRabbitMQ", "Messaging", "MessagingConformance", "BrokerSupport", "TestSupport", "queue-child",
                logging,
            ],
            path: "Integration/RabbitMQTests",
            swiftSettings: settings
        ),
        .testTarget(
            name: "SQLiteTests",
            dependencies: [
                "MessagingSQLite", "Messaging", "MessagingConformance", "BrokerSupport", "TestSupport", "queue-child",
                grdb, logging,
            ],
            path: "Integration/SQLiteTests",
            swiftSettings: settings
        ),
        .testTarget(
            name: "MigrationTests",
            dependencies: [
                "MessagingMigration", "MessagingKafka", "MessagingRabbitMQ", "MessagingRedis", "MessagingSQLite",
                "Messaging", "BrokerSupport", "KafkaMock",
                "TestSupport", "queue-child", "mq", logging,
            ],
            path: "Integration/MigrationTests",
            swiftSettings: settings
        ),
        // The fault tier, and shipped scripts and statements that are broken on purpose.
        .testTarget(
            name: "BrokerFaultTests",
            dependencies: [
                "MessagingConformanceFaults", "MessagingConformance", "MessagingRabbitMQ", "MessagingRedis",
                "MessagingSQLite", "MessagingMemory", "Messaging", "BrokerSupport", "TestSupport", "queue-child", grdb,
                logging,
            ],
            path: "Integration/FaultTests",
            swiftSettings: settings
        ),
        .testTarget(
            name: "PipelineTests",
            dependencies: [
                "MessagingPipeline", "MessagingMemory", "MessagingBenchmark", redisBackend, rabbitMQBackend,
                kafkaBackend,
                sqliteBackend, grdb,
                "mq",
                "BrokerSupport", "KafkaMock",
                "TestSupport", "PipelineTestSupport", logging,
                .product(name: "Subprocess", package: "swift-subprocess"),
            ],
            path: "Integration/PipelineTests",
            swiftSettings: settings
        ),
    ]
)

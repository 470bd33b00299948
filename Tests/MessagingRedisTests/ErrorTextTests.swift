#if Redis
import Messaging
import NIOCore
import Testing

@testable import MessagingRedis

@Suite("What Redis errors say")
struct ErrorTextTests {
    @Test("a connection that breaks is told in plain words, without the network library's own")
    func broken() {
        let error = RedisErrors.broken(
            IOError(errnoCode: 104, reason: "read(descriptor:pointer:size:)"),
            endpoint: "h:1"
        )
        #expect(error.code == .unavailable && error.isRetryable)
        #expect(error.message.hasPrefix("the connection to h:1 failed: "))
        #expect(!error.message.contains("descriptor") && !error.message.contains("errno"))
    }
}
#endif

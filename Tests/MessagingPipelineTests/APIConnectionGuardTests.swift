import NIOCore
import NIOEmbedded
import Testing

@testable import MessagingPipeline

@Suite("Clients that do not read")
struct APIConnectionGuardTests {
    @Test("a connection that takes nothing for the time is closed")
    func stalled() throws {
        let channel = EmbeddedChannel(handler: ConnectionGuard(limit: .seconds(30)))
        try channel.connect(to: SocketAddress(ipAddress: "127.0.0.1", port: 1)).wait()
        channel.isWritable = false
        channel.pipeline.fireChannelWritabilityChanged()
        channel.embeddedEventLoop.advanceTime(by: .milliseconds(29_999))
        #expect(channel.isActive)
        channel.embeddedEventLoop.advanceTime(by: .milliseconds(1))
        #expect(!channel.isActive)
    }

    @Test("one that goes on taking something stays")
    func slow() throws {
        let channel = EmbeddedChannel(handler: ConnectionGuard(limit: .seconds(30)))
        try channel.connect(to: SocketAddress(ipAddress: "127.0.0.1", port: 1)).wait()
        for _ in 0..<5 {
            for isWritable in [false, true] {
                channel.isWritable = isWritable
                channel.pipeline.fireChannelWritabilityChanged()
                channel.embeddedEventLoop.advanceTime(by: .seconds(29))
            }
        }
        channel.embeddedEventLoop.advanceTime(by: .seconds(3600))
        #expect(channel.isActive)
        _ = try channel.finish()
    }
}

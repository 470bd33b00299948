#if Redis
import NIOCore

/// Writes commands in RESP into one buffer, so that a batch of a thousand commands is one write.
struct RESPWriter {
    private(set) var buffer: ByteBuffer
    /// How many replies the commands will have.
    private(set) var commands = 0

    init(capacity: Int = 512) { buffer = ByteBufferAllocator().buffer(capacity: capacity) }

    /// Begins a command of this many words; exactly as many must follow.
    mutating func command(_ words: Int) {
        buffer.writeInteger(UInt8(ascii: "*"))
        writeLine(words)
        commands += 1
    }

    /// A whole command of texts.
    mutating func command(_ words: [String]) {
        command(words.count)
        for each in words { word(each) }
    }

    mutating func word(_ text: String) {
        buffer.writeInteger(UInt8(ascii: "$"))
        writeLine(text.utf8.count)
        buffer.writeString(text)
        end()
    }

    mutating func word(_ bytes: [UInt8]) {
        buffer.writeInteger(UInt8(ascii: "$"))
        writeLine(bytes.count)
        buffer.writeBytes(bytes)
        end()
    }

    mutating func word(_ number: Int64) { word(String(number)) }
    mutating func word(_ number: Int) { word(String(number)) }

    private mutating func writeLine(_ number: Int) {
        buffer.writeString(String(number))
        end()
    }

    private mutating func end() { buffer.writeInteger(UInt16(0x0D0A)) }
}
#endif

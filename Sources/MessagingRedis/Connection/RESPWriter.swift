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
        head(UInt8(ascii: "*"), words)
        commands += 1
    }

    /// A whole command of texts.
    mutating func command(_ words: [String]) {
        command(words.count)
        for each in words { word(each) }
    }

    mutating func word(_ text: String) {
        head(UInt8(ascii: "$"), text.utf8.count)
        buffer.writeString(text)
        end()
    }

    mutating func word(_ bytes: [UInt8]) {
        head(UInt8(ascii: "$"), bytes.count)
        buffer.writeBytes(bytes)
        end()
    }

    mutating func word(_ number: Int64) { word(String(number)) }
    mutating func word(_ number: Int) { word(String(number)) }

    /// The id of a stream entry.
    mutating func word(_ id: EntryID) {
        let (milliseconds, sequence) = (String(id.milliseconds), String(id.sequence))
        head(UInt8(ascii: "$"), milliseconds.utf8.count + 1 + sequence.utf8.count)
        buffer.writeString(milliseconds)
        buffer.writeInteger(UInt8(ascii: "-"))
        buffer.writeString(sequence)
        end()
    }

    /// A number in lower-case hexadecimal, always 16 digits.
    mutating func word(hexadecimal number: UInt64) {
        head(UInt8(ascii: "$"), 16)
        buffer.writeInteger(Self.digits(UInt32(truncatingIfNeeded: number >> 32)))
        buffer.writeInteger(Self.digits(UInt32(truncatingIfNeeded: number)))
        end()
    }

    /// The eight hexadecimal digits of a number as the bytes of another: nibbles spread to bytes, then 0…9 and a…f.
    private static func digits(_ number: UInt32) -> UInt64 {
        var spread = UInt64(number)
        spread = (spread | spread << 16) & 0x0000_FFFF_0000_FFFF
        spread = (spread | spread << 8) & 0x00FF_00FF_00FF_00FF
        spread = (spread | spread << 4) & 0x0F0F_0F0F_0F0F_0F0F
        let isLetter = (spread &+ 0x0606_0606_0606_0606) >> 4 & 0x0101_0101_0101_0101
        return spread &+ 0x3030_3030_3030_3030 &+ isLetter &* 0x27
    }

    /// Writes a type's sign, a number and the end of the line, which come before every word, in one go.
    private mutating func head(_ sign: UInt8, _ number: Int) {
        guard 0..<10_000 ~= number else {
            buffer.writeInteger(sign)
            buffer.writeString(String(number))
            return end()
        }
        var packed: UInt64 = 0x0D0A
        var bits: UInt64 = 16
        var rest = UInt64(number)
        repeat {
            packed |= (rest % 10 + 0x30) << bits
            rest /= 10
            bits += 8
        } while rest > 0
        packed |= UInt64(sign) << bits
        bits += 8
        // The number stands at the end of the eight bytes that big-endian order writes; moved up, it begins them.
        buffer.writeInteger(packed << (64 - bits))
        buffer.moveWriterIndex(to: buffer.writerIndex - Int(64 - bits) / 8)
    }

    private mutating func end() { buffer.writeInteger(UInt16(0x0D0A)) }
}
#endif

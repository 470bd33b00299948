/// Counts lines; LF, CR and CRLF each end one.
struct LineCounter {
    /// The number of the line of the next byte, from 1.
    private(set) var line = 1
    private var isAfterCarriageReturn = false

    init(startingAt line: Int = 1) {
        self.line = line
    }

    mutating func see(_ byte: UInt8) {
        if byte == 0x0D || (byte == 0x0A && !isAfterCarriageReturn) { line += 1 }
        isAfterCarriageReturn = byte == 0x0D
    }
}

import Foundation

/// What is remembered of a statement to recognise its duplicates.
///
/// MinHash over shingles of four characters was chosen by trying on 448 real posts of one person. With it the reworded
/// posts (a retweet with one more handle, `Reuters poll` and `#ReutersPoll`) came out at 0.83 to 0.94, posts that only
/// follow the same pattern (`New Iowa poll, thank you!` and `Fox News poll, thank you!`) at 0.73 and less; the threshold of
/// 0.8 lies in between. SimHash, the other candidate, tells texts of ten words apart too coarsely.
///
/// Figures make a difference that shingles hardly show (`4.1%` and `4.2%`), so statements with different figures are never
/// duplicates; a copy that was cut off before a figure is therefore missed.
public struct Fingerprint: Sendable, Hashable, Codable {
    /// The similarity from which on two statements are duplicates.
    public static let threshold = 0.8
    /// Texts of fewer words are duplicates only when their normalised texts are the same.
    static let shortestText = 3
    /// In so many of the 64 values the signatures of two duplicates may differ.
    public static let allowedDifferences = MinHash.count - Int((threshold * Double(MinHash.count)).rounded(.up))
    /// The signature is cut into so many bands; two fingerprints with an equal band share a bucket.
    ///
    /// With one band more than values may differ, at least one is equal: no duplicate is ever missed.
    private static let bandCount = allowedDifferences + 1

    /// The id of the statement.
    public let id: String
    /// ``Statement/orderKey``: of two statements the one with the smaller order is the earlier one.
    public let order: String
    /// The MinHash signature of the normalised text, 64 numbers of 32 bits; empty for a short text.
    public let signature: [UInt64]
    /// The 128-bit FNV-1a hash of the normalised text, in hexadecimal.
    public let exact: String
    /// The 64-bit FNV-1a hash of the numbers in the normalised text, sorted, in hexadecimal.
    public let figures: String
    /// Under which numbers a store files the text; two different texts that say the same share at least one.
    ///
    /// A short text has none, for nothing but the same text says the same. Figures are part of the numbers, so that texts
    /// that differ in nothing else do not meet.
    public let buckets: [UInt64]

    /// Creates the fingerprint of a statement.
    ///
    /// - Parameters:
    ///   - statement: The statement.
    ///   - normalizedText: Its text as ``TextNormalizer`` leaves it. When nothing is left of it, as of a link alone, the
    ///     text itself takes its place.
    public init(statement: Statement, normalizedText: String) {
        let words = normalizedText.unicodeScalars.split(separator: " ")
        // A text without spaces may be one in Chinese or Japanese, where a few signs are a sentence.
        let isShort =
            words.count < Self.shortestText && !words.contains { $0.count >= 12 && $0.allSatisfy { !$0.isASCII } }
        let text =
            normalizedText.isEmpty ? statement.text.trimmingCharacters(in: .whitespacesAndNewlines) : normalizedText
        self.init(
            id: statement.id,
            order: statement.orderKey,
            signature: isShort ? [] : MinHash.signature(normalizedText),
            exact: StableHash.hex128(text.utf8),
            figures: Self.figures(words.map { String($0) })
        )
    }

    /// Creates the fingerprint of an analysed statement.
    ///
    /// - Parameter analysed: The statement with its normalised text.
    public init(_ analysed: AnalysedStatement) {
        self.init(statement: analysed.statement, normalizedText: analysed.analysis.normalizedText)
    }

    /// Puts a fingerprint together again from its parts, unless the packed signature is neither empty nor 256 bytes.
    ///
    /// - Parameters:
    ///   - id: The id of the statement.
    ///   - order: Its ``order``.
    ///   - packedSignature: Its ``packedSignature``.
    ///   - exact: Its ``exact``.
    ///   - figures: Its ``figures``.
    public init?(id: String, order: String, packedSignature: some Collection<UInt8>, exact: String, figures: String) {
        var values: [UInt64] = []
        if !packedSignature.isEmpty {
            guard packedSignature.count == MinHash.count * 4 else { return nil }
            values.reserveCapacity(MinHash.count)
            var value: UInt64 = 0
            for (index, byte) in packedSignature.enumerated() {
                value = value << 8 | UInt64(byte)
                guard index % 4 == 3 else { continue }
                values.append(value)
                value = 0
            }
        }
        self.init(id: id, order: order, signature: values, exact: exact, figures: figures)
    }

    private init(id: String, order: String, signature: [UInt64], exact: String, figures: String) {
        self.id = id
        self.order = order
        self.signature = signature
        self.exact = exact
        self.figures = figures
        buckets = Self.buckets(signature, figures)
    }

    private static func buckets(_ signature: [UInt64], _ figures: String) -> [UInt64] {
        if signature.isEmpty { return [] }
        let start = StableHash.hash64(figures.utf8)
        return (0..<bandCount).map { band in
            var hash = StableHash.hash64([UInt8(band)], from: start)
            for index in (band * signature.count / bandCount)..<((band + 1) * signature.count / bandCount) {
                let value = signature[index]
                for shift in stride(from: 0, to: 32, by: 8) {
                    hash = StableHash.hash64(
                        CollectionOfOne(UInt8(truncatingIfNeeded: value >> UInt64(shift))),
                        from: hash
                    )
                }
            }
            return hash
        }
    }

    private static func figures(_ words: [String]) -> String {
        let numbers = words.filter { $0.unicodeScalars.allSatisfy { $0.properties.numericType != nil } }
        return String(StableHash.hash64(numbers.sorted().joined(separator: " ").utf8), radix: 16)
    }

    /// How much two statements share.
    ///
    /// - Parameter other: The other fingerprint.
    /// - Returns: 1 when the normalised texts are the same, 0 when they are not and one of them is short, and else the
    ///   estimated share of common shingles, from 0 to 1.
    public func similarity(to other: Fingerprint) -> Double {
        exact == other.exact ? 1 : MinHash.similarity(signature, other.signature)
    }

    /// Tells whether two texts say the same.
    ///
    /// The relation is symmetric but not transitive.
    ///
    /// - Parameter other: The fingerprint of a statement with the other text.
    /// - Returns: Whether they have the same figures and a similarity of at least ``threshold``.
    public func saysTheSame(as other: Fingerprint) -> Bool {
        if exact == other.exact { return true }
        return figures == other.figures && MinHash.differs(signature, other.signature, atMost: Self.allowedDifferences)
    }

    /// Tells whether one of two statements is a duplicate of the other.
    ///
    /// - Parameter other: The other fingerprint.
    /// - Returns: Whether they are of different statements that say the same.
    public func isDuplicate(of other: Fingerprint) -> Bool {
        id != other.id && saysTheSame(as: other)
    }

    /// The time that ``order`` begins with, in milliseconds; of two statements the earlier one has no greater one.
    public var time: Int64 { Self.time(ofOrder: order) }

    /// The time that an ``order`` begins with.
    ///
    /// - Parameter order: The order.
    /// - Returns: The time in milliseconds.
    public static func time(ofOrder order: String) -> Int64 {
        order.utf8.prefix(15).reduce(0) { $0 * 10 + Int64($1 & 0x0F) }
    }

    /// The signature as bytes, four for each number, the highest first; empty for a short text.
    public var packedSignature: [UInt8] {
        signature.flatMap { value in
            [24, 16, 8, 0].map { UInt8(truncatingIfNeeded: value >> UInt64($0)) }
        }
    }
}

extension Fingerprint {
    private enum CodingKeys: String, CodingKey {
        case id, order, signature, exact, figures
    }

    /// Reads a fingerprint from its JSON form.
    ///
    /// - Parameter decoder: The decoder to read from.
    /// - Throws: `DecodingError` when a member is missing or of the wrong type or the signature is not one.
    public init(from decoder: any Decoder) throws {
        let container = try decoder.container(keyedBy: CodingKeys.self)
        let digits = Array(try container.decode(String.self, forKey: .signature).utf8)
        let values = stride(from: 0, to: digits.count, by: 8).compactMap { start in
            UInt64(String(decoding: digits[start..<min(start + 8, digits.count)], as: UTF8.self), radix: 16)
        }
        guard digits.isEmpty || (digits.count == MinHash.count * 8 && values.count == MinHash.count) else {
            throw DecodingError.dataCorruptedError(
                forKey: .signature,
                in: container,
                debugDescription: "not \(MinHash.count) numbers of 8 hexadecimal digits"
            )
        }
        self.init(
            id: try container.decode(String.self, forKey: .id),
            order: try container.decode(String.self, forKey: .order),
            signature: values,
            exact: try container.decode(String.self, forKey: .exact),
            figures: try container.decode(String.self, forKey: .figures)
        )
    }

    /// Writes the fingerprint in its JSON form.
    ///
    /// The signature is one string of hexadecimal digits, eight for each number, which keeps it short. The buckets follow
    /// from the rest and are left out.
    ///
    /// - Parameter encoder: The encoder to write to.
    /// - Throws: What the encoder throws.
    public func encode(to encoder: any Encoder) throws {
        var container = encoder.container(keyedBy: CodingKeys.self)
        let digits = signature.map { value in
            let digits = String(value, radix: 16)
            return String(repeating: "0", count: max(0, 8 - digits.utf8.count)) + digits
        }
        try container.encode(id, forKey: .id)
        try container.encode(order, forKey: .order)
        try container.encode(digits.joined(), forKey: .signature)
        try container.encode(exact, forKey: .exact)
        try container.encode(figures, forKey: .figures)
    }
}

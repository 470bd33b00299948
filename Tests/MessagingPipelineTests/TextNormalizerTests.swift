import Foundation
import Messaging
import Testing

@testable import MessagingPipeline

@Suite struct TextNormalizerTests {
    @Test(arguments: [
        ("", ""),
        ("  Hello,\n WORLD!! ", "hello world"),
        ("RT @a_b: RT @c: Leads 46-44 =&gt; https://t.co/y3BGy15Erb vi…", "leads 46 44 vi"),
        ("RT @a says no colon", "rt a says no colon"),
        ("ART @a: x", "art a x"),
        ("Don't stop ‘now’ – it’s $1,500.50", "dont stop now its 1500 50"),
        ("Q&amp;A &#39;x&#39; &#x41; &bogus; &", "q a x a bogus"),
        ("see www.example.com/a?b=c, then http://x.y. End", "see then end"),
        ("cut htt… and http:/…", "cut and"),
        ("看https://t.co/x中国经济", "看 中国经济"),
        ("中国経済は、成長。", "中国経済は 成長"),
        ("Привет, МИР", "привет мир"),
        ("ΣΊΣΥΦΟΣ", "σίσυφοσ"),
        ("Straße STRASSE", "strasse strasse"),
        ("Ｆｕｌｌ ﬁne ①", "full fine 1"),
        ("cafe\u{301} CAFÉ", "café café"),
        ("J\u{30C}", "ǰ"),
        ("नमस्ते दुनिया", "नमस्ते दुनिया"),
        ("great👍🏽 👨‍👩‍👧 5️⃣ ❤️!", "great 5"),
        ("soft\u{AD}hyphen zero\u{200B}width", "softhyphen zerowidth"),
        ("😀🎉", ""),
    ])
    func normalizes(text: String, expected: String) {
        let normalized = TextNormalizer.normalize(text)
        #expect(
            Array(normalized.unicodeScalars) == Array(expected.precomposedStringWithCanonicalMapping.unicodeScalars)
        )
    }

    @Test(arguments: 0..<200 as Range<UInt64>)
    func normalizedTextStaysAsItIs(seed: UInt64) {
        var generator = SeededGenerator(seed: seed)
        let text = String(
            String.UnicodeScalarView(
                (0..<80).compactMap { _ in Unicode.Scalar(UInt32.random(in: 0x20...0x2FFF, using: &generator)) }
            )
        )
        let once = TextNormalizer.normalize(text)
        #expect(!once.hasPrefix(" ") && !once.hasSuffix(" ") && !once.contains("  "))
        #expect(TextNormalizer.normalize(once) == once)
    }

    @Test(arguments: [
        "word ", "é中 ", "a\u{301}\u{323}", "\u{301}\u{323}", "http://", "RT @a:", "&amp", "😀", "\u{FDFA}", "$1,", "@#$",
    ])
    func longTextsTakeLinearTime(piece: String) {
        let text = String(repeating: piece, count: (1 << 18) / piece.utf8.count)
        let clock = ContinuousClock()
        let time = clock.measure { _ = TextNormalizer.normalize(text) }
        // A build without optimisation on a busy machine needs a second or two; anything quadratic needs hours.
        #expect(time < .seconds(30))
    }

    @Test(arguments: ["é", "e\u{301}", "한", "\u{1112}\u{1161}\u{11AB}", "ｶﾞ", "中", "नि"])
    func longTextsAreNormalizedLikeShortOnes(piece: String) {
        let once = Array(TextNormalizer.normalize(piece).unicodeScalars)
        let many = Array(TextNormalizer.normalize(String(repeating: piece, count: 3000)).unicodeScalars)
        #expect(many == Array(repeatElement(once, count: 3000).joined()))
    }
}

import MessagingPipeline

extension StoreLaw {
    private static func fingerprint(_ id: String, _ text: String, at seconds: Double? = 0) -> Fingerprint {
        Fingerprint(analysed(id, text, at: seconds))
    }

    private static let text = "the very same words said once again by everybody in this town on monday"
    private static let similar = "the very same words said once again by everybody in this town on tuesday"

    static let deduplicationLaws: [StoreLaw] = [
        StoreLaw("a copy is answered with the earliest statement of its text alone") { bed in
            let store = bed.deduplication(0)
            func ids(_ id: String) async throws -> [String] {
                try await store.insert(fingerprint(id, text)).map(\.id)
            }
            try expect(try await ids("5"), [], "the first")
            try expect(try await ids("7"), ["5"], "a later copy")
            try expect(try await ids("3"), [], "an earlier copy")
            try expect(try await ids("5"), ["3"], "the first again")
            try expect(try await ids("7"), ["3"], "the later copy again")
            try expect(try await ids("3"), [], "the earliest again")
            try expect(try await store.count(), 1, "texts")
        },
        StoreLaw("the second of two similar texts meets the first, whichever is earlier, and so again") { bed in
            let store = bed.deduplication(0)
            let (a, b) = (fingerprint("5", text), fingerprint("3", similar))
            try expect(a.saysTheSame(as: b), true, "the texts are similar")
            try expect(try await store.insert(a), [], "the first")
            for _ in 0..<2 { try expect(try await bed.deduplication(1).insert(b), [a], "the earlier one") }
            for _ in 0..<2 { try expect(try await store.insert(a), [b], "the later one") }
            let verdict = Deduplicator.judge(b, against: [a])
            try expect(verdict.supersedes, [a.exact], "what the earlier one supersedes")
            try expect(try await store.count(), 2, "texts")
        },
        StoreLaw("of many similar texts an insert is answered with no more than its verdict needs") { bed in
            let store = bed.deduplication(0)
            let words = (0..<40).map { "word\(String($0, radix: 36))x" }
            let all = (0..<30).map { number in
                var changed = words
                changed[number] = "other"
                return fingerprint("\(100 + number)", changed.joined(separator: " "))
            }
            var answers: [Int] = []
            for fingerprint in all { answers.append(try await store.insert(fingerprint).count) }
            try expect(answers.dropFirst().allSatisfy { $0 == 1 }, true, "one original each, in \(answers)")
            let earliest = fingerprint("1", words.joined(separator: " "))
            try expect(try await store.insert(earliest).count, 30, "texts with a new original")
            let second = fingerprint("2", words.joined(separator: " ") + " again")
            try expect(try await store.insert(second).map(\.id), ["1"], "texts that have an earlier original already")
        },
        StoreLaw("short texts, texts without words and odd ids are remembered as they are") { bed in
            let store = bed.deduplication(0)
            for (index, text) in ["Thank you", "😀", "🎉", "https://t.co/a"].enumerated() {
                let id = ["é\u{0}1", "é\u{0}2", "a\"b\\", "-1"][index]
                let first = fingerprint(id, text, at: 1)
                try expect(try await store.insert(first), [], text)
                try expect(try await store.insert(fingerprint("z", text, at: 2)), [first], "a copy of \(text)")
            }
            try expect(try await store.count(), 4, "texts")
        },
    ]
}

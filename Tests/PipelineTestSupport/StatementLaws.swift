import Foundation
import MessagingPipeline

extension StoreLaw {
    static let statementLaws: [StoreLaw] = [
        StoreLaw("applying again changes nothing") { bed in
            let store = bed.statements(0)
            let statement = judged("1", supersedes: ["2"])
            try expect(try await store.counts(), StatementCounts(unique: 0, duplicates: 0), "counts at first")
            try expect(try await store.lastPosition(), 0, "the last position at first")
            try expect(try await store.apply(statement), .added, "the first time")
            try expect(try await bed.statements(1).apply(statement), .unchanged, "the second time")
            try expect(try await store.counts(), StatementCounts(unique: 1, duplicates: 0), "counts")
            try expect(try await store.statement(id: "1"), StoredStatement(statement.analysed), "the statement")
            try expect(try await store.statement(id: "2"), nil, "one that never came")
        },
        StoreLaw("what is superseded may come later, and every statement of the text is") { bed in
            let store = bed.statements(0)
            try await store.apply(judged("1", text: "a", supersedes: ["b"]))
            try await store.apply(judged("3", at: 7, text: "b"))
            try await store.apply(judged("2", at: 5, text: "b"))
            for id in ["2", "3"] { try expect(try await store.statement(id: id)?.duplicateOf, "1", id) }
            try expect(try await store.statement(id: "1")?.duplicates, ["2", "3"], "duplicates")
            try expect(try await store.counts(), StatementCounts(unique: 1, duplicates: 2), "counts")
        },
        StoreLaw("the earliest original of a text counts, and makes the one before a duplicate") { bed in
            let store = bed.statements(0)
            try await store.apply(judged("9", at: 90, text: "a"))
            try await store.apply(judged("8", at: 80, text: "a", original: ("7", 70)))
            try expect(try await store.statement(id: "9")?.duplicateOf, "7", "9, whose original has not come")
            try expect(try await store.counts(), StatementCounts(unique: 0, duplicates: 2), "counts")
            try await store.apply(judged("7", at: 70, text: "a"))
            try expect(try await store.statement(id: "7")?.duplicates, ["8", "9"], "duplicates of 7")
            try await store.apply(judged("5", at: 50, text: "b", supersedes: ["a"]))
            try expect(try await store.statement(id: "7")?.duplicates, [], "duplicates of 7 that 5 has taken")
            try expect(try await store.statement(id: "5")?.duplicates, ["7", "8", "9"], "duplicates of 5")
            try expect(try await store.ids(StatementQuery()), ["5"], "unique ones")
            try expect(try await store.counts(), StatementCounts(unique: 1, duplicates: 3), "counts in the end")
        },
        StoreLaw("a verdict that names no text stands for its statement alone") { bed in
            let store = bed.statements(0)
            try await store.apply(judged("9", at: 90, original: ("5", 50)))
            try await store.apply(judged("3", at: 30, supersedes: ["9"]))
            try await store.apply(judged("5", at: 50))
            try expect(try await store.statement(id: "9")?.duplicateOf, "3", "the earliest original")
            try expect(try await store.statement(id: "5")?.duplicateOf, nil, "the other one")
            try expect(try await store.statement(id: "5")?.duplicates, [], "its duplicates")
        },
        StoreLaw("of two contents under one id the same one counts, whichever came first") { bed in
            let store = bed.statements(0)
            let pairs = [
                (judged("1", "b", at: 5, text: "b"), judged("1", "a", at: 70, text: "a")),
                (judged("2", "a", at: 70, text: "a"), judged("2", "b", at: 5, text: "b")),
            ]
            try await store.apply(judged("8", "c", at: 80, text: "b"))
            try await store.apply(judged("9", "c", at: 90, text: "a"))
            for (first, second) in pairs {
                try await store.apply(first)
                try expect(try await store.apply(second), .unchanged, "the other content")
            }
            let json = try ["a", "b"].map { try PipelineJSON.encode(analysed("1", $0, at: $0 == "a" ? 70 : 5)) }
            let text = json[0].lexicographicallyPrecedes(json[1]) ? "a" : "b"
            let kept = try await store.everything()
            try expect(kept.map(\.statement.id), ["9", "8", "2", "1"], "statements")
            try expect(kept.map(\.statement.text), ["c", "c", text, text], "contents")
            try expect(kept.map(\.duplicateOf), ["1", "1", "1", nil], "originals")
            try expect(try await store.counts(), StatementCounts(unique: 1, duplicates: 3), "counts")
            try expect(try await store.lastPosition(), 4, "the last position")
        },
        StoreLaw("pages follow one another, newest first") { bed in
            let store = bed.statements(0)
            let last = 205
            for number in (0..<last).reversed() {
                try await store.apply(judged("\(number)", at: Double(number / 2)))
            }
            try await store.apply(judged("undated é\u{0}", at: nil))
            let expected = ["undated é\u{0}"] + (0..<last).reversed().map { "\($0)" }
            for limit in [7, 103, 200] {
                var ids: [String] = []
                var cursor: String?
                repeat {
                    let page = try await store.list(StatementQuery(limit: limit, cursor: cursor))
                    if page.items.isEmpty || page.items.count > limit {
                        throw StoreFailure(description: "a page of \(page.items.count)")
                    }
                    ids += page.items.map(\.statement.id)
                    cursor = page.nextCursor
                } while cursor != nil && ids.count <= expected.count
                try expect(ids, expected, "pages of \(limit)")
            }
        },
        StoreLaw("filters: duplicates, since, topic and text, also where hits are rare") { bed in
            let store = bed.statements(0)
            try await store.apply(judged("1", "The new TARIFF, finally", at: 100))
            try await store.apply(judged("2", "Polls are out", at: 200))
            try await store.apply(judged("3", "Polls are out!", at: 300, original: ("2", 200)))
            for number in 0..<250 { try await store.apply(judged("n\(number)", at: Double(1000 + number))) }
            let hundred = Date(timeIntervalSince1970: 200)
            func ids(_ query: StatementQuery) async throws -> [String] { try await store.ids(query) }
            try expect(try await ids(StatementQuery(text: "polls")), ["2"], "unique ones")
            try expect(try await ids(StatementQuery(text: "polls", includesDuplicates: true)), ["3", "2"], "all")
            try expect(try await ids(StatementQuery(since: hundred, text: "out")), ["2"], "since and text")
            try expect(try await ids(StatementQuery(topic: "trade")), ["1"], "topic")
            try expect(try await ids(StatementQuery(text: "Tariff Fin")), ["1"], "text")
            try expect(try await ids(StatementQuery(text: "nothing like it")), [], "no hit")
            try expect(try await ids(StatementQuery(text: "!!")), [], "nothing to look for")
            let recent = Date(timeIntervalSince1970: 1248)
            try expect(try await ids(StatementQuery(since: recent)), ["n249", "n248"], "since")
        },
        StoreLaw("changes come in the order of the first apply, with positions from 1") { bed in
            let store = bed.statements(0)
            for id in ["5", "3", "9"] { try await store.apply(judged(id, at: Double(id) ?? 0, text: "a")) }
            try await store.apply(judged("5", at: 5, text: "a"))
            let changes = try await store.changes(after: 0, limit: 10).items
            try expect(changes.map(\.position), [1, 2, 3], "positions")
            try expect(changes.map(\.statement.statement.id), ["5", "3", "9"], "order")
            try expect(changes.map(\.statement.duplicateOf), ["3", nil, "3"], "what they are now")
            try expect(try await store.changes(after: 1, limit: 1).items, [changes[1]], "a part")
            for (position, limit) in [(3, 10), (99, 10), (0, 0), (0, -1)] as [(Int64, Int)] {
                try expect(try await store.changes(after: position, limit: limit).items, [], "after \(position)")
            }
            try expect(try await store.changes(after: -5, limit: 2).items.map(\.position), [1, 2], "from below")
            try expect(try await bed.statements(1).lastPosition(), 3, "the last position")
        },
        StoreLaw("a reader who follows the changes of several writers misses none") { bed in
            let count = 120
            try await withThrowingTaskGroup(of: Void.self) { group in
                for worker in 0..<4 {
                    group.addTask {
                        for number in stride(from: worker, to: count, by: 4) {
                            try await bed.statements(worker).apply(judged("\(number)", at: Double(number)))
                        }
                    }
                }
                group.addTask {
                    var ids: [String] = []
                    var position: Int64 = 0
                    let deadline = ContinuousClock.now + .seconds(60)
                    while ids.count < count, ContinuousClock.now < deadline {
                        let items = try await bed.statements(5).changes(after: position, limit: 7).items
                        for item in items {
                            if item.position <= position { throw StoreFailure(description: "back to \(item.position)") }
                            position = item.position
                            ids.append(item.statement.statement.id)
                        }
                        await Task.yield()
                    }
                    try expect(Set(ids).count, count, "statements seen")
                    try expect(ids.count, count, "changes seen")
                }
                try await group.waitForAll()
            }
            try expect(try await bed.statements(0).lastPosition(), Int64(count), "the last position")
        },
    ]
}

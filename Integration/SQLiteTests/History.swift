import Foundation

/// What several hammering processes did, put together from what they said, and what is wrong with it.
struct History {
    /// What one process said about having a message, in nanoseconds.
    private struct Hold {
        let process: Int
        /// When its `receive` was called and when it had returned: in between the lease began.
        let asked: UInt64
        let from: UInt64
        /// When its settlement began; a killed holder may have begun none.
        var until: UInt64?

        /// Until when it certainly had the message: two clocks agree on a lease to a few milliseconds.
        func end(lease: UInt64) -> UInt64 { min(until ?? .max, asked + lease - 2_000_000) }
    }

    private struct Life {
        var isPublished = false
        var acknowledged = 0
        /// Settlements that were begun and of which no end is known, because the process was killed.
        var unresolved = 0
        var holds: [Hold] = []
    }

    private(set) var errors: [String] = []
    private(set) var published = 0
    private(set) var delivered = 0
    private(set) var acknowledged = 0
    private var attempted: Set<String> = []
    private var lives: [String: Life] = [:]

    /// Takes in what one process said; a last line that a kill cut short is left out.
    mutating func add(_ output: String, process: Int) {
        let isWhole = output.hasSuffix("\n")
        for line in output.split(separator: "\n").dropLast(isWhole ? 0 : 1) {
            let words = line.split(separator: " ").map(String.init)
            guard words.count > 1 else { continue }
            let id = words[1]
            switch words[0] {
            case "t": attempted.insert(id)
            case "p":
                published += 1
                lives[id, default: Life()].isPublished = true
            case "d" where words.count > 4:
                delivered += 1
                if !attempted.contains(id), !id.hasPrefix("p") { errors.append("\(id) came from nowhere") }
                let hold = Hold(process: process, asked: UInt64(words[3]) ?? 0, from: UInt64(words[4]) ?? 0)
                lives[id, default: Life()].holds.append(hold)
            case "b" where words.count > 2:
                guard let index = lives[id]?.holds.lastIndex(where: { $0.process == process && $0.until == nil }) else {
                    continue
                }
                lives[id]?.holds[index].until = UInt64(words[2])
                lives[id]?.unresolved += 1
            case "g", "l": lives[id]?.unresolved -= 1
            case "a":
                lives[id]?.unresolved -= 1
                acknowledged += 1
                lives[id, default: Life()].acknowledged += 1
            case "e": errors.append(String(line))
            default: break
            }
        }
    }

    /// Notes what the test itself took and acknowledged in the end.
    mutating func drained(_ id: String) {
        acknowledged += 1
        lives[id, default: Life()].acknowledged += 1
    }

    /// The confirmed messages that nobody acknowledged, without those whose holder was killed while it settled them.
    var lost: [String] {
        lives.filter { $0.value.isPublished && $0.value.acknowledged == 0 && $0.value.unresolved == 0 }.map(\.key)
    }

    /// The messages that were acknowledged more than once.
    var doubled: [String] { lives.filter { $0.value.acknowledged > 1 }.map(\.key) }

    /// The messages that two held at once although the lease of the first, in nanoseconds, had not run out.
    func shared(lease: UInt64) -> [String] {
        lives.compactMap { id, life in
            // Who was held up until its lease was over has had the message at no time that is certain.
            let holds = life.holds.filter { $0.from < $0.end(lease: lease) }.sorted { $0.from < $1.from }
            let isShared = zip(holds, holds.dropFirst()).contains { $1.from < $0.end(lease: lease) }
            return isShared ? id : nil
        }
    }
}

import Foundation

/// What several hammering processes did, put together from what they said, and what is wrong with it.
struct History {
    private struct Life {
        var isPublished = false
        var acknowledged = 0
        /// Settlements that were begun and of which no end is known, because the process was killed.
        var unresolved = 0
        /// By the process that had it: when it was handed over, and when its settlement began.
        var holds: [(process: Int, from: UInt64, until: UInt64?)] = []
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
            case "d" where words.count > 3:
                delivered += 1
                if !attempted.contains(id), !id.hasPrefix("p") { errors.append("\(id) came from nowhere") }
                lives[id, default: Life()].holds.append((process, UInt64(words[3]) ?? 0, nil))
            case "b" where words.count > 2:
                guard let index = lives[id]?.holds.lastIndex(where: { $0.process == process && $0.until == nil }) else {
                    continue
                }
                lives[id]?.holds[index].until = UInt64(words[2])
                lives[id]?.unresolved += 1
            case "g": lives[id]?.unresolved -= 1
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
            let holds = life.holds.sorted { $0.from < $1.from }
            for (first, second) in zip(holds, holds.dropFirst()) {
                // Without an end the holder was killed, and only the end of its lease makes the message free. The
                // hand-over is up to a commit before the time that the holder saw.
                let end = first.until ?? first.from + lease - min(lease, 200_000_000)
                if second.from < end { return id }
            }
            return nil
        }
    }
}

import Messaging

/// Which cases fail on which mutants: the proof that the cases can fail.
public struct KillTable: Sendable, CustomStringConvertible {
    /// How a case ended on a mutant.
    public enum Verdict: Sendable, Hashable {
        /// It failed as it should, with a `ConformanceFailure` or a `QueueError`; the text says why.
        case killed(String)
        /// It passed: it does not see what is broken.
        case survived
        /// It did not end in time, which proves nothing; the text says what it was waiting for.
        case hung(String)
        /// It failed with an error that neither the suite nor a queue throws.
        case unexpected(String)

        /// Whether the case has seen what is broken.
        public var isKill: Bool { if case .killed = self { true } else { false } }
    }

    /// The mutants that were run, one row each.
    public let mutants: [Mutant]
    /// The cases that were run, one column each.
    public let cases: [ConformanceCase]
    private let verdicts: [String: [String: Verdict]]

    init(mutants: [Mutant], cases: [ConformanceCase], verdicts: [String: [String: Verdict]]) {
        self.mutants = mutants
        self.cases = cases
        self.verdicts = verdicts
    }

    /// Runs cases on mutants of a backend.
    ///
    /// - Parameters:
    ///   - mutants: The mutants; all by default.
    ///   - cases: The cases; all by default.
    ///   - everyPair: Whether each case runs on each mutant, or only on those that name it.
    ///   - width: How many run at the same time.
    ///   - timeLimit: How long one case may take.
    ///   - harness: Makes a harness of a backend that keeps the contract.
    /// - Returns: The table.
    public static func run(
        _ mutants: [Mutant] = Mutants.all,
        cases: [ConformanceCase] = Conformance.all,
        everyPair: Bool = false,
        width: Int = 2,
        timeLimit: Duration = .seconds(20),
        on harness: @escaping @Sendable () -> any ConformanceHarness
    ) async -> KillTable {
        let pairs = mutants.flatMap { mutant in
            cases.filter { everyPair || mutant.killedBy.contains($0.id) }.map { (mutant, $0) }
        }
        var verdicts: [String: [String: Verdict]] = [:]
        await withTaskGroup(of: (String, String, Verdict).self) { group in
            // Those that measure the process come last, one after the other.
            var running = 0
            let together = pairs.filter { !$1.isAlone }
            for (mutant, law) in (together + pairs.filter { $1.isAlone }) {
                while running >= (law.isAlone ? 1 : max(width, 1)), let (row, column, verdict) = await group.next() {
                    verdicts[row, default: [:]][column] = verdict
                    running -= 1
                }
                running += 1
                group.addTask {
                    (mutant.id, law.id, await verdict(of: law, on: mutant.wrap(harness()), within: timeLimit))
                }
            }
            for await (row, column, verdict) in group { verdicts[row, default: [:]][column] = verdict }
        }
        return KillTable(mutants: mutants, cases: cases, verdicts: verdicts)
    }

    /// Runs one case on a broken backend.
    private static func verdict(
        of law: ConformanceCase,
        on harness: any ConformanceHarness,
        within limit: Duration
    ) async -> Verdict {
        let watch = CaseWatch()
        do {
            guard let ended = try await race(against: limit, { try await law.run(on: harness, watch) }) else {
                defer { watch.abandon() }
                return .hung(watch.waiting)
            }
            try ended.get()
            return .survived
        } catch let failure as ConformanceFailure {
            return .killed(failure.message)
        } catch let error as QueueError {
            return .killed("\(error)")
        } catch {
            return .unexpected("\(error)")
        }
    }

    /// How a case ended on a mutant; `nil` when it was not run.
    ///
    /// - Parameters:
    ///   - mutant: The id of the mutant.
    ///   - caseID: The id of the case.
    public subscript(mutant: String, caseID: String) -> Verdict? { verdicts[mutant]?[caseID] }

    /// The cases that no mutant of the table has killed.
    public var toothless: [String] {
        cases.map(\.id).filter { id in !mutants.contains { self[$0.id, id]?.isKill == true } }
    }

    /// What a mutant promises and did not keep: a case that it names and that did not fail.
    public var broken: [String] {
        mutants.flatMap { mutant in
            mutant.killedBy.compactMap { id in
                switch self[mutant.id, id] {
                case .killed?: nil
                case .survived?: "\(mutant) survives \(id)"
                case .hung(let calls)?: "\(id) does not end on \(mutant): \(calls)"
                case .unexpected(let error)?: "\(id) ends on \(mutant) with \(error)"
                case nil: "\(id), which \(mutant) names, was not run"
                }
            }
        }
    }

    /// The table as text: a row for each mutant, a column for each case, and below what each case has seen.
    public var description: String {
        let nameWidth = mutants.map(\.id.count).max() ?? 0
        var lines = [
            "K a named case failed   k another case failed   . passed   ! a named case did not fail   ? no verdict"
        ]
        for digits in [10, 1] {
            let numbers = cases.indices.map { "\(($0 + 1) / digits % 10)" }
            lines.append(Self.padded("", nameWidth) + " " + numbers.joined())
        }
        for mutant in mutants {
            let marks = cases.map { mark(mutant, $0.id) }.joined()
            lines.append("\(Self.padded(mutant.id, nameWidth)) \(marks)  \(mutant.law)")
        }
        lines.append("")
        let caseWidth = cases.map(\.id.count).max() ?? 0
        for (index, law) in cases.enumerated() {
            let killed = mutants.filter { self[$0.id, law.id]?.isKill == true }
            let names = killed.isEmpty ? "nothing" : killed.map(\.id).joined(separator: ", ")
            let number = index + 1 < 10 ? " \(index + 1)" : "\(index + 1)"
            lines.append("\(number) \(Self.padded(law.id, caseWidth)) kills \(names)")
        }
        return lines.joined(separator: "\n")
    }

    private func mark(_ mutant: Mutant, _ id: String) -> String {
        let isNamed = mutant.killedBy.contains(id)
        switch self[mutant.id, id] {
        case .killed?: return isNamed ? "K" : "k"
        case .survived?: return isNamed ? "!" : "."
        case .hung?, .unexpected?: return "?"
        case nil: return " "
        }
    }

    private static func padded(_ text: String, _ width: Int) -> String {
        text + String(repeating: " ", count: max(0, width - text.count))
    }
}

import ArgumentParser
import Testing

@testable import mq

@Suite("Help")
struct HelpTests {
    /// A command and the words that lead to it.
    struct Leaf: Sendable, CustomTestStringConvertible {
        let path: [String]
        let type: any ParsableCommand.Type
        var testDescription: String { path.joined(separator: " ") }
    }

    static let leaves = walk(MQ.self, []).filter { $0.type.configuration.subcommands.isEmpty }
    static let all = walk(MQ.self, [])

    private static func walk(_ type: any ParsableCommand.Type, _ path: [String]) -> [Leaf] {
        let name = type.configuration.commandName ?? ""
        let own = Leaf(path: path + [name], type: type)
        return [own] + type.configuration.subcommands.flatMap { walk($0, own.path) }
    }

    @Test("there is for every command of the command line")
    func commands() {
        let names = Self.leaves.map { $0.path.dropFirst().joined(separator: " ") }
        #expect(names.count >= 11)
        for name in ["pipeline run", "pipeline check", "consume", "dlq redrive", "status", "doctor"] {
            #expect(names.contains(name))
        }
    }

    @Test("says in one sentence what a command does", arguments: all)
    func abstract(leaf: Leaf) {
        let abstract = leaf.type.configuration.abstract
        #expect(abstract.hasSuffix(".") && abstract.count <= 90, "\(abstract)")
        #expect(abstract.first?.isUppercase == true)
    }

    @Test("has examples and exit codes for every command", arguments: leaves)
    func sections(leaf: Leaf) {
        let discussion = leaf.type.configuration.discussion
        #expect(discussion.contains("EXAMPLES:\n"))
        #expect(discussion.contains("EXIT CODES:\n"))
        #expect(discussion.contains("  \(leaf.path.joined(separator: " "))"))
    }

    /// The examples are what people copy: each must be understood by the command that it names.
    @Test("has examples that the command line understands", arguments: all)
    func examples(leaf: Leaf) async throws {
        let examples = Examples.commands(leaf.type.configuration.discussion)
        #expect(!examples.isEmpty)
        for words in examples {
            do {
                let command = try await MQ.asyncParseAsRoot(words)
                if leaf.type.configuration.subcommands.isEmpty, leaf.type != MQ.self {
                    #expect(type(of: command) == leaf.type, "\(words) is another command")
                }
            } catch {
                Issue.record("'mq \(words.joined(separator: " "))': \(MQ.message(for: error))")
            }
        }
    }

    @Test("has examples that are split as a shell does")
    func splitting() {
        let text = """
            EXAMPLES:
              tail -f a | mq publish q - --create
              A=b mq status > out.txt
              mq publish q '{"a": 1}' "two words"

            EXIT CODES:
              mq is no example here
            """
        #expect(
            Examples.commands(text) == [
                ["publish", "q", "-", "--create"], ["status"], ["publish", "q", "{\"a\": 1}", "two words"],
            ]
        )
    }
}

/// Finds the command lines in the section EXAMPLES of a help text.
enum Examples {
    static func commands(_ discussion: String) -> [[String]] {
        var isInside = false
        var found: [[String]] = []
        for line in discussion.split(separator: "\n", omittingEmptySubsequences: false) {
            if line == "EXAMPLES:" {
                isInside = true
            } else if line.isEmpty || !line.hasPrefix("  ") {
                isInside = false
            } else if isInside {
                found += pipeline(words(line))
            }
        }
        return found
    }

    /// The arguments of each `mq` between pipes.
    private static func pipeline(_ words: [String]) -> [[String]] {
        words.split(separator: "|").compactMap { part in
            guard let start = part.firstIndex(of: "mq"),
                part[..<start].allSatisfy({ $0.contains("=") })
            else { return nil }
            let rest = part[(start + 1)...]
            return Array(rest[..<(rest.firstIndex { $0 == ">" || $0 == ">>" } ?? rest.endIndex)])
        }
    }

    private static func words(_ line: Substring) -> [String] {
        var words: [String] = []
        var word: String?
        var quote: Character?
        for character in line {
            if let open = quote {
                if character == open { quote = nil } else { word = (word ?? "") + String(character) }
            } else if character == "'" || character == "\"" {
                quote = character
                word = word ?? ""
            } else if character == " " {
                if let done = word { words.append(done) }
                word = nil
            } else {
                word = (word ?? "") + String(character)
            }
        }
        return words + (word.map { [$0] } ?? [])
    }
}

#if canImport(FoundationEssentials)
import FoundationEssentials
#else
import Foundation
#endif

extension Output {
    /// Asks a person to type a name, before something is done that cannot be undone.
    ///
    /// - Parameters:
    ///   - name: What must be typed.
    ///   - question: What is asked.
    ///   - refusal: What is thrown when something else is typed, or nobody is there.
    /// - Throws: The refusal.
    func confirm(by name: String, _ question: String, refusal: CLIError) async throws {
        guard notes.isTerminal, POSIX.isTerminal(POSIX.standardInput) else { throw refusal }
        prompt(question)
        let answer = String(decoding: try await StandardInput().read(), as: UTF8.self)
        guard answer.split(whereSeparator: \.isNewline).first.map(String.init) == name else { throw refusal }
    }
}

import Foundation
import MessagingConformance
import Testing

/// What docs/guarantees.md says of the suite.
@Suite("The guarantees")
struct GuaranteesTests {
    private static let text: String = {
        let root = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
            .deletingLastPathComponent()
        return (try? String(contentsOf: root.appending(path: "docs/guarantees.md"), encoding: .utf8)) ?? ""
    }()

    @Test("every case has a row in the matrix; Integration/guarantees makes it", arguments: Conformance.all)
    func hasRow(_ law: ConformanceCase) {
        #expect(Self.text.contains("\n| `\(law.id)` | \(law.law) |"), "no row, or another law, for \(law.id)")
    }

    @Test("no row tells of a failure, and every case that is named exists")
    func rows() {
        #expect(!Self.text.contains("✗"))
        let named = Self.text.matches(of: /`([a-z]+\.[a-zA-Z0-9]+)`/).map { String($0.output.1) }
        let families = Set(Conformance.all.map { $0.id.prefix { $0 != "." } })
        let unknown = named.filter { families.contains($0.prefix { $0 != "." }) && Conformance.find($0) == nil }
        #expect(unknown == [])
        #expect(named.count > Conformance.all.count)
    }
}

import Foundation
import Testing

@testable import MessagingBenchmark

#if canImport(FoundationXML)
import FoundationXML
#endif

@Suite("Plots")
struct PlotTests {
    @Test("an axis has whole decades around its values")
    func axis() throws {
        let axis = try #require(LogAxis([3, 250, 0, -1]))
        #expect((axis.first, axis.last) == (0, 3))
        #expect(axis.position(1) == 0)
        #expect(axis.position(1000) == 1)
        #expect(abs(try #require(axis.position(10)) - 1.0 / 3) < 1e-12)
        #expect(axis.position(0) == nil)
        #expect(axis.ticks.map(\.label) == ["1", "10", "100", "1k"])
        #expect(LogAxis([0, -5]) == nil)
        #expect(LogAxis([]) == nil)
        // One value alone still has an axis of some length.
        let single = try #require(LogAxis([100]))
        #expect((single.first, single.last) == (2, 3))
    }

    @Test("decades have short labels")
    func labels() {
        #expect(
            [-2, -1, 0, 2, 3, 5, 6, 8, 9].map(LogAxis.label) == [
                "0.01", "0.1", "1", "100", "1k", "100k", "1M", "100M", "1e9",
            ]
        )
    }

    private func make(_ points: [Plot.Point], title: String = "t") -> Plot? {
        Plot(title: title, subtitle: "s", x: "x", y: "y", lines: [Plot.Line(name: "line", points: points)])
    }

    @Test("a point lies in the frame, right and up with its values")
    func places() throws {
        let plot = try #require(make([.init(x: 1, y: 10), .init(x: 100, y: 1000)]))
        let first = try #require(plot.place(.init(x: 1, y: 10)))
        let last = try #require(plot.place(.init(x: 100, y: 1000)))
        #expect((first.x, first.y) == (80, 380))
        #expect((last.x, last.y) == (696, 72))
        let middle = try #require(plot.place(.init(x: 10, y: 100)))
        #expect((middle.x, middle.y) == (388, 226))
        #expect(plot.place(.init(x: 0, y: 100)) == nil)
    }

    @Test("the document can be read, has every point and no markup of a title")
    func document() throws {
        let plot = try #require(
            make([.init(x: 1, y: 10), .init(x: 10, y: 0), .init(x: 100, y: 1000)], title: "a < b & c")
        )
        let counter = ElementCounter()
        let parser = XMLParser(data: Data(plot.svg.utf8))
        parser.delegate = counter
        #expect(parser.parse())
        #expect(counter.counts["svg"] == 1)
        // The one that has no place on the axis is left out.
        #expect(counter.counts["circle"] == 2)
        #expect(counter.counts["polyline"] == 1)
        #expect(counter.text.contains("a < b & c"))
        for word in ["x", "y", "line", "s"] { #expect(counter.words.contains(word)) }
    }

    @Test("there is no plot of nothing")
    func nothing() {
        #expect(make([]) == nil)
        #expect(make([.init(x: 0, y: 0)]) == nil)
    }

    @Test("a series is drawn with the figures of its kind", arguments: SeriesKind.allCases)
    func series(kind: SeriesKind) throws {
        let (label, names) = kind.figures
        let report = BenchmarkReport(
            system: "memory",
            version: "1",
            durability: "memory",
            place: "memory",
            findings: [],
            machine: .current(),
            settings: BenchmarkSettings(),
            baseline: nil
        )
        let values = Dictionary(uniqueKeysWithValues: names.map { ($0, 12.0) })
        let result = SeriesResult(kind: kind, points: [.init(x: 1, values: values), .init(x: 10, values: values)])
        let svg = try #require(Plot(result, of: report)).svg
        #expect(svg.contains(label) && svg.contains(kind.label))
        #expect(svg.ranges(of: "<circle").count == 2 * names.count)
    }
}

/// Counts the elements of an XML document and collects its text.
private final class ElementCounter: NSObject, XMLParserDelegate {
    private(set) var counts: [String: Int] = [:]
    private(set) var text = ""
    private(set) var words: [String] = []
    private var word = ""

    func parser(
        _ parser: XMLParser,
        didStartElement name: String,
        namespaceURI: String?,
        qualifiedName: String?,
        attributes: [String: String]
    ) {
        counts[name, default: 0] += 1
        word = ""
    }

    func parser(_ parser: XMLParser, foundCharacters string: String) {
        text += string
        word += string
    }

    func parser(_ parser: XMLParser, didEndElement name: String, namespaceURI: String?, qualifiedName: String?) {
        words.append(word)
        word = ""
    }
}

/// Lines over two logarithmic axes, as an SVG document of its own.
public struct Plot: Sendable {
    /// One line.
    public struct Line: Sendable, Hashable {
        /// What it is called in the legend.
        public var name: String
        /// Its points, in order; those that are not above zero are left out.
        public var points: [Point]

        /// Creates a line.
        ///
        /// - Parameters:
        ///   - name: What it is called in the legend.
        ///   - points: Its points, in order.
        public init(name: String, points: [Point]) {
            self.name = name
            self.points = points
        }
    }

    /// A point of a line.
    public struct Point: Sendable, Hashable {
        /// Along the horizontal axis.
        public var x: Double
        /// Along the vertical axis.
        public var y: Double

        /// Creates a point.
        ///
        /// - Parameters:
        ///   - x: Along the horizontal axis.
        ///   - y: Along the vertical axis.
        public init(x: Double, y: Double) {
            self.x = x
            self.y = y
        }
    }

    private static let (width, height) = (720.0, 440.0)
    private static let (left, right, top, bottom) = (80.0, 24.0, 72.0, 60.0)
    /// Colours that stay apart for those who see no red or green (Okabe and Ito).
    private static let colors = ["#0072b2", "#d55e00", "#009e73", "#cc79a7"]

    private let title: String
    private let subtitle: String
    private let labels: (x: String, y: String)
    private let lines: [Line]
    private let axes: (x: LogAxis, y: LogAxis)

    /// Creates a plot.
    ///
    /// - Parameters:
    ///   - title: What is shown.
    ///   - subtitle: Where the figures come from.
    ///   - x: What the horizontal axis is.
    ///   - y: What the vertical axis is.
    ///   - lines: What is drawn; `nil` is returned when they have no point above zero.
    public init?(title: String, subtitle: String, x: String, y: String, lines: [Line]) {
        let points = lines.flatMap(\.points).filter { $0.x > 0 && $0.y > 0 }
        guard let xAxis = LogAxis(points.map(\.x)), let yAxis = LogAxis(points.map(\.y)) else { return nil }
        self.title = title
        self.subtitle = subtitle
        labels = (x, y)
        self.lines = lines
        axes = (xAxis, yAxis)
    }

    /// Creates the plot of a series.
    ///
    /// - Parameters:
    ///   - series: What was measured.
    ///   - report: Where it was measured.
    public init?(_ series: SeriesResult, of report: BenchmarkReport) {
        let (label, names) = series.kind.figures
        let machine = report.machine
        self.init(
            title: "\(report.system) \(report.version): \(label) by \(series.kind.label)",
            subtitle: "durability \(report.durability) · \(machine.cores) cores · \(machine.build) build",
            x: series.kind.label,
            y: label,
            lines: names.map { name in
                Line(
                    name: name.split(separator: "_").first.map(String.init) ?? name,
                    points: series.points.compactMap { point in
                        point.values[name].map { Point(x: Double(point.x), y: $0) }
                    }
                )
            }
        )
    }

    /// Where a point is drawn; `nil` for one that is left out.
    func place(_ point: Point) -> (x: Double, y: Double)? {
        guard let x = axes.x.position(point.x), let y = axes.y.position(point.y) else { return nil }
        return (
            Self.left + x * (Self.width - Self.left - Self.right),
            Self.height - Self.bottom - y * (Self.height - Self.top - Self.bottom)
        )
    }

    /// The document.
    public var svg: String {
        let (width, height) = (Self.text(Self.width), Self.text(Self.height))
        return
            ([
                "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"\(width)\" height=\"\(height)\" "
                    + "viewBox=\"0 0 \(width) \(height)\" font-family=\"sans-serif\" font-size=\"12\">",
                "<rect width=\"\(width)\" height=\"\(height)\" fill=\"#ffffff\"/>",
                Self.word(title, Self.left, 24, "font-size=\"16\""),
                Self.word(subtitle, Self.left, 42, "fill=\"#555555\""),
            ] + grid + lines.enumerated().flatMap { draw($1, $0) } + ["</svg>"]).joined(separator: "\n") + "\n"
    }

    private var grid: [String] {
        let (end, floor) = (Self.width - Self.right, Self.height - Self.bottom)
        var parts: [String] = []
        for tick in axes.x.ticks {
            guard let position = axes.x.position(tick.value) else { continue }
            let x = Self.left + position * (end - Self.left)
            parts.append(Self.rule(x, Self.top, x, floor))
            parts.append(Self.word(tick.label, x, floor + 18, "text-anchor=\"middle\""))
        }
        for tick in axes.y.ticks {
            guard let position = axes.y.position(tick.value) else { continue }
            let y = floor - position * (floor - Self.top)
            parts.append(Self.rule(Self.left, y, end, y))
            parts.append(Self.word(tick.label, Self.left - 8, y + 4, "text-anchor=\"end\""))
        }
        let middle = (Self.top + floor) / 2
        parts.append(Self.word(labels.x, (Self.left + end) / 2, Self.height - 16, "text-anchor=\"middle\""))
        parts.append(
            Self.word(labels.y, 20, middle, "text-anchor=\"middle\" transform=\"rotate(-90 20 \(Self.text(middle)))\"")
        )
        return parts
    }

    private func draw(_ line: Line, _ number: Int) -> [String] {
        let color = Self.colors[number % Self.colors.count]
        let places = line.points.compactMap(place)
        let path = places.map { "\(Self.text($0.x)),\(Self.text($0.y))" }.joined(separator: " ")
        let x = Self.left + Double(number) * 120
        return [
            "<polyline points=\"\(path)\" fill=\"none\" stroke=\"\(color)\" stroke-width=\"2\"/>",
            "<rect x=\"\(Self.text(x))\" y=\"52\" width=\"12\" height=\"12\" fill=\"\(color)\"/>",
            Self.word(line.name, x + 18, 62, ""),
        ]
            + places.map {
                "<circle cx=\"\(Self.text($0.x))\" cy=\"\(Self.text($0.y))\" r=\"3.5\" fill=\"\(color)\"/>"
            }
    }

    private static func rule(_ x1: Double, _ y1: Double, _ x2: Double, _ y2: Double) -> String {
        "<line x1=\"\(text(x1))\" y1=\"\(text(y1))\" x2=\"\(text(x2))\" y2=\"\(text(y2))\" stroke=\"#dddddd\"/>"
    }

    private static func word(_ text: String, _ x: Double, _ y: Double, _ attributes: String) -> String {
        "<text x=\"\(Self.text(x))\" y=\"\(Self.text(y))\" \(attributes)>\(escaped(text))</text>"
    }

    /// A coordinate with one digit after the point.
    private static func text(_ value: Double) -> String {
        let tenths = Int((value * 10).rounded())
        return tenths % 10 == 0 ? String(tenths / 10) : "\(tenths / 10).\(abs(tenths % 10))"
    }

    private static func escaped(_ text: String) -> String {
        text.replacing("&", with: "&amp;").replacing("<", with: "&lt;").replacing(">", with: "&gt;")
    }
}

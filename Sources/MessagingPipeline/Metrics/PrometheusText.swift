import Foundation

/// The rules of Prometheus' text exposition format, version 0.0.4: which names are allowed, how values are escaped.
///
/// https://prometheus.io/docs/instrumenting/exposition_formats/
enum PrometheusText {
    static let contentType = "text/plain; version=0.0.4; charset=utf-8"
    /// The longest value of a label, in Unicode scalars.
    static let valueLimit = 200

    /// A name as metrics may have: letters, digits, `_` and `:`, not beginning with a digit.
    static func metricName(_ label: String) -> String {
        name(label, allowing: ":")
    }

    /// A name as labels may have: as metrics, without `:`; two underscores in front and `le` belong to Prometheus.
    static func labelName(_ label: String) -> String {
        let name = name(label, allowing: "_")
        if name == "le" || name == "quantile" { return "exported_" + name }
        return name.hasPrefix("__") ? "_" + name.drop { $0 == "_" } : name
    }

    private static func name(_ label: String, allowing extra: Unicode.Scalar) -> String {
        var name = String.UnicodeScalarView()
        for scalar in label.unicodeScalars {
            switch scalar {
            case "a"..."z", "A"..."Z", "_", extra: name.append(scalar)
            case "0"..."9":
                if name.isEmpty { name.append("_") }
                name.append(scalar)
            default: name.append("_")
            }
        }
        return name.isEmpty ? "_" : String(name)
    }

    /// The labels between braces, names repaired and values escaped; of two that come to the same name the first counts.
    static func labels(_ dimensions: [(String, String)]) -> String {
        var seen: Set<String> = []
        var pairs: [String] = []
        for (label, value) in dimensions {
            let name = labelName(label)
            guard seen.insert(name).inserted else { continue }
            pairs.append("\(name)=\"\(escaped(cut(value), quotes: true))\"")
        }
        return pairs.sorted().joined(separator: ",")
    }

    private static func cut(_ value: String) -> String {
        value.unicodeScalars.count <= valueLimit
            ? value : String(String.UnicodeScalarView(value.unicodeScalars.prefix(valueLimit)))
    }

    /// A text in which a backslash, a line feed and, in the value of a label, a quote are escaped.
    static func escaped(_ text: String, quotes: Bool) -> String {
        var result = String.UnicodeScalarView()
        for scalar in text.unicodeScalars {
            switch scalar {
            case "\\": result.append(contentsOf: "\\\\".unicodeScalars)
            case "\n": result.append(contentsOf: "\\n".unicodeScalars)
            case "\"" where quotes: result.append(contentsOf: "\\\"".unicodeScalars)
            default: result.append(scalar)
            }
        }
        return String(result)
    }

    /// A number as Go's `ParseFloat` reads it.
    static func number(_ value: Double) -> String {
        if value.isNaN { return "NaN" }
        if value.isInfinite { return value < 0 ? "-Inf" : "+Inf" }
        if let whole = Int64(exactly: value), whole.magnitude < 1 << 53 { return String(whole) }
        return String(value)
    }

    /// The lines in front of a family's samples.
    static func header(_ name: String, _ type: String, help: String) -> String {
        "# HELP \(name) \(escaped(help, quotes: false))\n# TYPE \(name) \(type)\n"
    }

    /// The line of one sample.
    static func sample(_ name: String, _ labels: String, _ value: String) -> String {
        labels.isEmpty ? "\(name) \(value)\n" : "\(name){\(labels)} \(value)\n"
    }
}

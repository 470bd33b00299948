/// A report in the form that CI systems read: one suite per family, one test per case.
///
/// The form is the one that Jenkins and GitLab document; see https://github.com/testmoapp/junitxml.
public enum JUnitXML {
    /// Writes a report.
    ///
    /// - Parameter report: The report.
    /// - Returns: The XML document.
    public static func document(_ report: ConformanceReport) -> String {
        var lines = ["<?xml version=\"1.0\" encoding=\"UTF-8\"?>"]
        let failures = report.count(.failed)
        lines.append(
            "<testsuites name=\"\(escaped("conformance of \(report.system) \(report.version)"))\" "
                + "tests=\"\(report.results.count)\" failures=\"\(failures)\" time=\"\(report.seconds)\">"
        )
        for family in ConformanceCase.Family.allCases {
            let results = report.results.filter { $0.family == family }
            if results.isEmpty { continue }
            let failed = results.count { $0.outcome == .failed }
            let skipped = results.count { $0.outcome != .failed && $0.outcome != .passed }
            lines.append(
                "  <testsuite name=\"\(family.rawValue)\" tests=\"\(results.count)\" failures=\"\(failed)\" "
                    + "skipped=\"\(skipped)\" time=\"\(results.reduce(0) { $0 + $1.seconds })\">"
            )
            lines += results.map(testCase)
            lines.append("  </testsuite>")
        }
        lines.append("</testsuites>")
        return lines.joined(separator: "\n") + "\n"
    }

    private static func testCase(_ result: CaseResult) -> String {
        let head =
            "    <testcase classname=\"\(result.family.rawValue)\" name=\"\(escaped(result.id))\" time=\"\(result.seconds)\""
        let reason = escaped(result.reason ?? "")
        switch result.outcome {
        case .passed: return head + "/>"
        case .failed: return head + "><failure message=\"\(reason)\">\(escaped(result.law))</failure></testcase>"
        case .unsupported, .notPossible, .knownFailure:
            return head + "><skipped message=\"\(result.outcome.rawValue): \(reason)\"/></testcase>"
        }
    }

    private static func escaped(_ text: String) -> String {
        var escaped = ""
        for scalar in text.unicodeScalars {
            switch scalar {
            case "&": escaped += "&amp;"
            case "<": escaped += "&lt;"
            case ">": escaped += "&gt;"
            case "\"": escaped += "&quot;"
            // What XML 1.0 does not allow, not even escaped.
            case _ where scalar.value < 32: escaped += " "
            case "\u{FFFE}", "\u{FFFF}": escaped += " "
            default: escaped.unicodeScalars.append(scalar)
            }
        }
        return escaped
    }
}

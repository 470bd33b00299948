import Foundation
import MessagingPipeline

/// The part of JSON Schema that the OpenAPI description uses; anything else is an error, so that nothing goes unchecked.
struct JSONSchema {
    struct Unsupported: Error {
        let what: String
    }

    let document: [String: Any]

    /// The object that a reference names, or the object itself.
    func resolved(_ object: [String: Any]) throws -> [String: Any] {
        guard let reference = object["$ref"] as? String else { return object }
        guard reference.hasPrefix("#/") else { throw Unsupported(what: reference) }
        var found: Any? = document
        for part in reference.dropFirst(2).split(separator: "/") { found = (found as? [String: Any])?[String(part)] }
        guard let target = found as? [String: Any] else { throw Unsupported(what: reference) }
        return target
    }

    /// What in a value does not fit a schema, each with its place.
    func problems(_ value: Any, _ schema: [String: Any], at place: String = "$") throws -> [String] {
        let schema = try resolved(schema)
        var problems: [String] = []
        func add(_ problem: String, if condition: Bool) {
            if condition { problems.append("\(place): \(problem)") }
        }
        let text = value as? String
        let isBool = (value as? NSNumber).map { CFGetTypeIDIsBool($0) } ?? false
        let number = isBool ? nil : (value as? NSNumber)?.doubleValue
        for (keyword, argument) in schema {
            switch (keyword, argument) {
            case ("description", _), ("examples", _), ("default", _), ("contentMediaType", _), ("contentSchema", _):
                break
            case ("type", "object" as String): add("no object", if: !(value is [String: Any]))
            case ("type", "array" as String): add("no array", if: !(value is [Any]))
            case ("type", "string" as String): add("no string", if: text == nil)
            case ("type", "number" as String): add("no number", if: number == nil)
            case ("type", "integer" as String): add("no integer", if: number.map { $0 != $0.rounded() } ?? true)
            case ("properties", let known as [String: [String: Any]]):
                for (name, member) in value as? [String: Any] ?? [:] {
                    if let schema = known[name] {
                        problems += try self.problems(member, schema, at: "\(place).\(name)")
                    } else if schema["additionalProperties"] as? Bool == false {
                        problems.append("\(place).\(name): not described")
                    }
                }
            case ("additionalProperties", false as Bool): break
            case ("required", let names as [String]):
                for name in names where (value as? [String: Any])?[name] == nil {
                    problems.append("\(place).\(name): missing")
                }
            case ("items", let items as [String: Any]):
                for (index, element) in (value as? [Any] ?? []).enumerated() {
                    problems += try self.problems(element, items, at: "\(place)[\(index)]")
                }
            case ("maxItems", let limit as Int): add("too long", if: (value as? [Any])?.count ?? 0 > limit)
            case ("minLength", let limit as Int): add("too short", if: text?.unicodeScalars.count ?? 0 < limit)
            case ("enum", let values as [String]): add("not in the list", if: !values.contains(text ?? ""))
            case ("const", let constant as String): add("not '\(constant)'", if: text != constant)
            case ("minimum", let limit as NSNumber): add("too small", if: number ?? 0 < limit.doubleValue)
            case ("maximum", let limit as NSNumber): add("too great", if: number ?? 0 > limit.doubleValue)
            case ("pattern", let pattern as String):
                add("does not match", if: try text?.firstMatch(of: Regex(pattern)) == nil)
            case ("format", "date-time" as String):
                add("no date", if: text.flatMap(StatementDate.parse) == nil)
            case ("anyOf", let schemas as [[String: Any]]):
                add("fits none", if: try !schemas.contains { try self.problems(value, $0, at: place).isEmpty })
            default: throw Unsupported(what: "\(keyword) at \(place)")
            }
        }
        return problems.sorted()
    }

    private func CFGetTypeIDIsBool(_ number: NSNumber) -> Bool {
        String(cString: number.objCType) == "c" && (number == 0 || number == 1)
    }
}

#if RabbitMQ
import Messaging

/// Keeps the order of headers, which a quorum queue sorts by name.
enum HeaderOrder {
    /// Where each header stands among the sorted ones; `nil` when they are sorted already.
    static func indices(_ names: [String]) -> String? {
        if names.count < 2 { return nil }
        let sorted = sortedIndices(names)
        if sorted.elementsEqual(names.indices) { return nil }
        var places = [Int](repeating: 0, count: names.count)
        for (place, index) in sorted.enumerated() { places[index] = place }
        return places.map(String.init).joined(separator: ",")
    }

    /// The headers in their first order; as they came when that cannot be told.
    static func restored(
        _ headers: [(wireName: String, header: MessageHeaders.Header)],
        _ order: String?
    ) -> [MessageHeaders.Header] {
        let sorted = sortedIndices(headers.map(\.wireName)).map { headers[$0].header }
        guard let order else { return headers.map(\.header) }
        let places = order.split(separator: ",").compactMap { Int($0) }
        guard places.count == headers.count, Set(places) == Set(headers.indices) else { return headers.map(\.header) }
        return places.map { sorted[$0] }
    }

    private static func sortedIndices(_ names: [String]) -> [Int] {
        names.indices.sorted { names[$0].utf8.lexicographicallyPrecedes(names[$1].utf8) }
    }
}
#endif

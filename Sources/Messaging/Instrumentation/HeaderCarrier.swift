import Instrumentation

/// Carries trace context in message headers: W3C `traceparent`, `tracestate` and `baggage` travel as plain headers.
struct HeaderCarrier: Injector, Extractor {
    func inject(_ value: String, forKey key: String, into carrier: inout MessageHeaders) { carrier[key] = value }
    func extract(key: String, from carrier: MessageHeaders) -> String? { carrier[key] }
}

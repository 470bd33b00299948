import Foundation
import Messaging

/// What a publisher gave, and what every consumer is to get.
struct Content: Hashable, Sendable, CustomStringConvertible {
    let body: [UInt8]
    let key: String?
    let contentType: String?
    let headers: [String: [UInt8]]

    init(_ message: Message) {
        (body, key, contentType) = (message.body, message.key, message.contentType)
        // What begins like this was added on the way.
        let own = message.headers.filter { !$0.name.hasPrefix("mq-") }
        headers = Dictionary(own.map { ($0.name, $0.value) }, uniquingKeysWith: { $1 })
    }

    var description: String {
        let names = headers.keys.sorted().joined(separator: " ")
        return "key \(key ?? "-"), type \(contentType ?? "-"), headers \(names), \(body.count) bytes"
    }
}

/// What a message is like somewhere, for comparing before and after.
struct Trace: Hashable, Sendable, CustomStringConvertible {
    let id: String
    let group: String?
    let state: StoredMessage.State
    let content: Content
    let attempts: Int
    let failures: Int
    let due: Date?

    /// What was published and nobody has taken yet.
    init(ready message: Message, group: String) {
        id = message.id.rawValue
        self.group = group
        state = .ready
        content = Content(message)
        (attempts, failures) = (0, 0)
        due = nil
    }

    /// What was ready before it was taken to see it.
    init(_ delivery: Delivery) {
        id = delivery.message.id.rawValue
        group = delivery.group
        state = .ready
        content = Content(delivery.message)
        (attempts, failures) = (delivery.attempt - 1, delivery.history.count)
        due = nil
    }

    init(_ stored: StoredMessage) {
        id = stored.message.id.rawValue
        group = stored.group
        state = stored.state
        content = Content(stored.message)
        attempts = stored.attempts
        failures = stored.history.count
        due = stored.due
    }

    /// Names a message of a group, or of all groups.
    static func place(_ id: String, _ group: String?) -> String { "\(id) \(group ?? "*")" }

    var place: String { Self.place(id, group) }
    var description: String { "\(place) \(state) \(attempts)/\(failures) (\(content))" }
}

import Messaging
import Testing

@Suite("Names")
struct NameRulesTests {
    @Test(
        "good names",
        arguments: [
            "a", "Z", "0", "queue:analysis", "analysis-workers", "worker-1", "a.b_c-d:e/f", "9lives",
            String(repeating: "x", count: 200),
        ]
    )
    func good(_ name: String) throws {
        #expect(NameRules.isValid(name))
        try NameRules.validate(queue: name)
        try NameRules.validate(group: name, queue: "q")
        try NameRules.validate(consumer: name, queue: "q")
    }

    @Test(
        "bad names",
        arguments: [
            ("", "is empty"), ("-a", "must begin"), (".a", "must begin"), (":a", "must begin"), ("/a", "must begin"),
            ("_a", "must begin"), ("a b", "contains a space"), ("a\tb", "contains"), ("a\nb", "contains"),
            ("a\0", "contains"), ("é", "contains"), ("a*", "contains '*'"), ("a{b}", "contains '{'"),
            ("a,b", "contains ','"), ("a@b", "contains '@'"), ("日本", "contains '日'"),
            ("e\u{301}", "contains"), (String(repeating: "x", count: 201), "longer than 200"),
        ]
    )
    func bad(_ name: String, _ reason: String) {
        #expect(!NameRules.isValid(name))
        let errors = [
            #expect(throws: QueueError.self) { try NameRules.validate(queue: name) },
            #expect(throws: QueueError.self) { try NameRules.validate(group: name, queue: "q") },
            #expect(throws: QueueError.self) { try NameRules.validate(consumer: name, queue: "q") },
        ]
        for error in errors {
            #expect(error?.code == .invalidName)
            #expect(error?.message.contains(reason) == true, "\(error?.message ?? "")")
            #expect(error?.isRetryable == false)
        }
    }

    @Test("the error of a space says what to do")
    func space() {
        let error = #expect(throws: QueueError.self) { try NameRules.validate(queue: "my queue") }
        #expect(error?.message == "queue name 'my queue' contains a space; use letters, digits and . _ - : /")
    }

    @Test("control characters are not echoed, and long names are cut")
    func echo() {
        let error = #expect(throws: QueueError.self) { try NameRules.validate(queue: "a\u{1B}[31mred\r\n\u{7}\u{85}") }
        let message = error?.message ?? ""
        #expect(message.contains("a\u{FFFD}[31mred"))
        #expect(!message.unicodeScalars.contains { $0.properties.generalCategory == .control })
        let long = #expect(throws: QueueError.self) {
            try NameRules.validate(queue: String(repeating: "y", count: 5000))
        }
        #expect((long?.message.count ?? 0) < 150)
    }
}

@Suite("Queue definitions")
struct QueueDefinitionTests {
    @Test("what the defaults and the limits allow is valid")
    func good() throws {
        try QueueDefinition("q").validate()
        try QueueDefinition("q", groups: [GroupDefinition("a"), GroupDefinition("b")], maxReady: 1).validate()
        try QueueDefinition("q", groups: [GroupDefinition("a", lease: .milliseconds(10), maxAttempts: 1)]).validate()
        try QueueDefinition("q", groups: [GroupDefinition("a", lease: .seconds(86400 * 30))], dedupeWindow: .zero)
            .validate()
    }

    @Test(
        "what cannot work is refused",
        arguments: [
            (QueueDefinition("a b"), QueueError.Code.invalidName, "queue name"),
            (QueueDefinition("q", groups: [GroupDefinition("a b")]), .invalidName, "group name"),
            (QueueDefinition("q", groups: [GroupDefinition("a"), GroupDefinition("a")]), .invalidArgument, "twice"),
            (QueueDefinition("q", groups: [GroupDefinition("a", lease: .milliseconds(9))]), .invalidArgument, "lease"),
            (
                QueueDefinition("q", groups: [GroupDefinition("a", lease: .seconds(86400 * 31))]), .invalidArgument,
                "lease"
            ),
            (QueueDefinition("q", groups: [GroupDefinition("a", maxAttempts: 0)]), .invalidArgument, "maxAttempts"),
            (QueueDefinition("q", dedupeWindow: .seconds(-1)), .invalidArgument, "negative"),
            (QueueDefinition("q", retention: .seconds(-1)), .invalidArgument, "negative"),
            (QueueDefinition("q", maxReady: 0), .invalidArgument, "maxReady"),
        ]
    )
    func bad(_ definition: QueueDefinition, _ code: QueueError.Code, _ reason: String) {
        let error = #expect(throws: QueueError.self) { try definition.validate() }
        #expect(error?.code == code)
        #expect(error?.message.contains(reason) == true, "\(error?.message ?? "")")
    }
}

import Foundation
import MessagingConformance

/// Which part of the fault tier is done, unless a person asks for more or less.
enum FaultEffort {
    /// Every case of the tier, or the one that MQ_TEST_CASE names.
    static let cases = Conformance.all.filter { law in
        law.tier == .fault && (only.map { $0 == law.id } ?? true)
    }
    private static let only = ProcessInfo.processInfo.environment["MQ_TEST_CASE"]

    /// How long a case may take: on a busy machine it is measured again with longer leases.
    static let timeLimit: Duration = .seconds(400)

    /// Which part of the kills is done: a quarter, so that the tests take minutes.
    ///
    /// MQ_TEST_EFFORT, from 0 to 1, changes it.
    static var value: Double {
        ProcessInfo.processInfo.environment["MQ_TEST_EFFORT"].flatMap { Double($0) } ?? 0.25
    }
}

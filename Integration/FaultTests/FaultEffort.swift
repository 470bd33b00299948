import Foundation

/// Which part of the kills of the fault tier is done: a quarter, so that the tests take minutes.
enum FaultEffort {
    /// MQ_TEST_EFFORT, from 0 to 1, when a person asks for more.
    static var value: Double {
        ProcessInfo.processInfo.environment["MQ_TEST_EFFORT"].flatMap { Double($0) } ?? 0.25
    }
}

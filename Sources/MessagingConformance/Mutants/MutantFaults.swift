import Messaging

/// The fault control of a mutant: its clients and children are broken in the same way.
struct MutantFaults: FaultControl {
    let mutant: Mutant
    let base: any FaultControl

    var patience: Duration { base.patience }
    var registrationLimit: Duration { base.registrationLimit }
    var chaosTime: Duration { base.chaosTime }
    var chaosSeed: UInt64? { base.chaosSeed }

    func proxy() async throws -> any FaultProxy { try await base.proxy() }
    func makeQueue() async throws -> any MessageQueue { mutant.wrap(try await base.makeQueue()) }
    func broker(_ change: BrokerChange) async throws { try await base.broker(change) }

    func startChild(_ job: FaultChildJob) async throws -> any FaultChild {
        guard let base = base as? InProcessFaults else { return try await base.startChild(job) }
        return try await base.startChild(job) { mutant.wrap($0) }
    }
}

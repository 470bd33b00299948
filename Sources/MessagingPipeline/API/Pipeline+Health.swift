import Messaging

extension Pipeline {
    /// Tells whether the workers of this process are connected and have asked for work recently.
    ///
    /// - Parameter limit: The longest time since a worker's last answer from its broker.
    /// - Returns: The health.
    public func health(within limit: Duration = .seconds(45)) -> StatementsAPI.Health {
        var problems: [String] = []
        for (layer, statuses) in status.sorted(by: { $0.key.rawValue < $1.key.rawValue }) {
            for (index, status) in statuses.enumerated() {
                let name = "worker \(index + 1) of layer '\(layer.rawValue)'"
                if let problem = status.problem {
                    problems.append("\(name) cannot reach its broker: \(problem)")
                } else if let age = status.sinceLastPoll, age > limit, status.inFlight < concurrency(of: layer) {
                    // One whose slots are all taken has no reason to ask for more.
                    problems.append("\(name) has not polled for \(Int(age.inSeconds)) s")
                } else if status.sinceLastPoll == nil {
                    problems.append("\(name) has not polled yet")
                }
            }
        }
        return StatementsAPI.Health(status: problems.isEmpty ? "ok" : "unhealthy", problems: problems)
    }
}

#if Redis
import Messaging

/// Decides how to ask two streams, the log and the group's private one, for at most so many entries.
///
/// A count of XREADGROUP holds per stream, so the number is split.
struct ReadPlan: Sendable {
    struct Step: Sendable, Equatable {
        /// How many to ask the log for; zero leaves it out.
        var log: Int
        /// How many to ask the private stream for; zero leaves it out.
        var retry: Int
        /// The stream that this step leaves out, to be asked when the other one is empty: an answer of "nothing" has to
        /// mean both.
        var rest: Step? {
            guard !blocks, log == 0 || retry == 0 else { return nil }
            return Step(log: retry, retry: log, blocks: false)
        }

        /// Whether to wait in one command for whichever has something first.
        var blocks: Bool
    }

    /// Whether the last read found something, so that there probably is more.
    private var isBusy = false
    /// Whether the private stream had as much as it was asked for.
    private var retryIsFull = false
    private var turn = false

    mutating func next(max: Int, mayBlock: Bool) -> Step {
        if !isBusy, mayBlock {
            // Both streams are empty, in all likelihood: then one of them serves the read when something comes.
            return Step(log: Swift.max(1, max / 2), retry: Swift.max(1, max / 2), blocks: true)
        }
        if max == 1 {
            turn.toggle()
            return turn ? Step(log: 0, retry: 1, blocks: false) : Step(log: 1, retry: 0, blocks: false)
        }
        // The log nearly always has all there is: what is kept free for the other stream would make each read shorter.
        let retry = retryIsFull ? max / 2 : 1
        return Step(log: max - retry, retry: retry, blocks: false)
    }

    mutating func found(_ items: [GroupReader.Item], by step: Step) {
        let retried = items.count { $0.receipt.source == GroupReader.privateSource }
        retryIsFull = step.retry > 0 && retried >= step.retry
        isBusy = !items.isEmpty
    }
}
#endif

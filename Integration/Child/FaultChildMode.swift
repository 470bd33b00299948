import Foundation
import Messaging
import MessagingConformance

/// Does one job of the fault tier of the contract suite, and tells each step as a line of JSON.
enum FaultChildMode {
    static func run(_ queue: any MessageQueue, _ job: String) async throws {
        try await FaultChildJob(text: job).run(on: queue) { line in
            QueueChild.say(line)
        } die: {
            // No handler, no destructor and no goodbye: what was not sent by now never is.
            kill(getpid(), SIGKILL)
            try await Task.sleep(for: .seconds(3600))
        }
        await queue.close()
    }
}

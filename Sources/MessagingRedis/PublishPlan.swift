#if Redis
import Messaging

/// Sorts what one call of the publish script takes into runs of messages whose fields have the same names and which are due
/// at the same time, so that names travel once a run.
struct PublishPlan {
    struct Run: Equatable {
        /// When its messages are due, as the script reads it.
        let due: String
        let names: [String]
        var indices: [Int]
    }

    private(set) var runs: [Run] = []

    /// - Parameters:
    ///   - messages: The messages.
    ///   - indices: Which of them are published, in order.
    init(_ messages: [Message], _ indices: [Int]) {
        var last: Int?
        for index in indices {
            if let last, messages[last].due == messages[index].due,
                WireFormat.haveSameNames(messages[last], messages[index])
            {
                runs[runs.count - 1].indices.append(index)
            } else {
                let message = messages[index]
                runs.append(Run(due: Self.due(message.due), names: WireFormat.names(message), indices: [index]))
                if runs.count == 1 { runs[0].indices.reserveCapacity(indices.count) }
            }
            last = index
        }
    }

    /// How many words ``write(_:_:)`` writes.
    var words: Int {
        runs.reduce(0) { $0 + 3 + $1.names.count + $1.indices.count * (1 + $1.names.count) }
    }

    func write(_ messages: [Message], _ writer: inout RESPWriter) {
        for run in runs {
            writer.word(run.due)
            writer.word(run.indices.count)
            writer.word(run.names.count)
            for name in run.names { writer.word(name) }
            for index in run.indices {
                writer.word(hexadecimal: BodyDigest.of(messages[index].body))
                WireFormat.writeValues(messages[index], &writer)
            }
        }
    }

    private static func due(_ due: Message.Due?) -> String {
        switch due {
        case nil: ""
        case .after(let delay): delay <= .zero ? "" : "r\(delay.milliseconds)"
        case .at(let date): "a\(UnixTime.milliseconds(date))"
        }
    }
}
#endif

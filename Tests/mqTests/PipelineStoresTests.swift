#if SQLite
import Foundation
import Subprocess
import Testing

/// A layer whose queue moves to another backend.
@Suite("Stores of a pipeline that are not beside its queues", .timeLimit(.minutes(2)))
struct PipelineStoresTests {
    @Test("know a statement again that another backend's queue brings")
    func otherQueues() async throws {
        let folder = FileManager.default.temporaryDirectory.appending(path: "mq-stores-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(at: folder) }
        let stores = "sqlite:" + folder.appending(path: "stores.sqlite").path
        let places = ["sqlite:" + folder.appending(path: "queue.sqlite").path, "memory"]
        var found: [[String: Int]] = []
        for (number, place) in places.enumerated() {
            let result = try await MQBinary.run(
                "pipeline",
                "run",
                "--backend",
                place,
                "--stores",
                stores,
                "--until-idle",
                "--json",
                "--input",
                "-",
                input: #"{"id": "\#(number)", "text": "the same words in both of the two statements here"}"#
            )
            #expect(result.status == .exited(0), "\(result.error)")
            let object = try JSONSerialization.jsonObject(with: Data(result.output.utf8)) as? [String: Any]
            found.append(["unique", "duplicates"].reduce(into: [:]) { $0[$1] = object?[$1] as? Int })
        }
        #expect(found == [["unique": 1, "duplicates": 0], ["unique": 1, "duplicates": 1]])
        let check = try await MQBinary.run("pipeline", "check", "--stores", stores, "--json")
        #expect(check.output.contains("stores.sqlite"))
    }
}
#endif

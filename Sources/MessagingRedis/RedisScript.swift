#if Redis
/// The Lua scripts: each is one atomic step of the contract.
///
/// They stand in `Scripts/`, one per file.
enum RedisScript: Int, CaseIterable, Sendable {
    case declare, publish, acknowledge, renew, retry, reject, release, tick, trim, leave, redrive, discard
    case statistics, scheduled, cancel, remove
    case stored, transfer, restore, intake, remembered, remember

    /// The whole text: the shared functions that the script uses, then its own lines.
    var source: [UInt8] { Self.sources[rawValue] }

    private static let sources = {
        let shared = RedisPrelude(String(decoding: PackageResources.prelude_lua, as: UTF8.self))
        return allCases.map { Array(shared.completing(String(decoding: $0.body, as: UTF8.self)).utf8) }
    }()

    /// The text with what is broken on purpose in it.
    func source(_ changes: [RedisScriptChange]) -> [UInt8] {
        if changes.isEmpty { return source }
        var text = String(decoding: source, as: UTF8.self)
        for change in changes where change.script == nil || change.script == "\(self)" {
            text = text.replacing(change.find, with: change.replacement)
        }
        return Array(text.utf8)
    }

    private var body: [UInt8] {
        switch self {
        case .declare: PackageResources.declare_lua
        case .publish: PackageResources.publish_lua
        case .acknowledge: PackageResources.acknowledge_lua
        case .renew: PackageResources.renew_lua
        case .retry: PackageResources.retry_lua
        case .reject: PackageResources.reject_lua
        case .release: PackageResources.release_lua
        case .tick: PackageResources.tick_lua
        case .trim: PackageResources.trim_lua
        case .leave: PackageResources.leave_lua
        case .redrive: PackageResources.redrive_lua
        case .discard: PackageResources.discard_lua
        case .statistics: PackageResources.statistics_lua
        case .scheduled: PackageResources.scheduled_lua
        case .cancel: PackageResources.cancel_lua
        case .remove: PackageResources.remove_lua
        case .stored: PackageResources.stored_lua
        case .transfer: PackageResources.transfer_lua
        case .restore: PackageResources.restore_lua
        case .intake: PackageResources.intake_lua
        case .remembered: PackageResources.remembered_lua
        case .remember: PackageResources.remember_lua
        }
    }
}

/// A change of the text of a script, or of all of them, by which a test shows what finds a mistake in it.
package struct RedisScriptChange: Sendable, Hashable {
    /// The script; `nil` means what all share.
    package let script: String?
    /// The text that is replaced.
    package let find: String
    /// What stands there instead.
    package let replacement: String

    /// Creates a change.
    ///
    /// - Parameters:
    ///   - script: The script; `nil` means what all share.
    ///   - find: The text that is replaced.
    ///   - replacement: What stands there instead.
    package init(_ script: String?, _ find: String, _ replacement: String) {
        self.script = script
        self.find = find
        self.replacement = replacement
    }

    /// How often the text is there to be replaced, in a script that it is about.
    package var count: Int {
        let scripts = RedisScript.allCases.filter { script == nil || script == "\($0)" }
        return scripts.map { String(decoding: $0.source, as: UTF8.self).ranges(of: find).count }.max() ?? 0
    }
}
#endif

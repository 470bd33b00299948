#if Redis
/// The Lua scripts: each is one atomic step of the contract.
///
/// They stand in `Scripts/`, one per file.
enum RedisScript: Int, CaseIterable, Sendable {
    case declare, publish, acknowledge, renew, retry, reject, release, tick, trim, leave, redrive, discard
    case statistics, scheduled, cancel, remove

    /// The whole text: the shared functions, then the script's own lines.
    var source: [UInt8] { PackageResources.prelude_lua + body }

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

    /// How often the text is there to be replaced, in one of the scripts that it is about.
    package var count: Int {
        let scripts = RedisScript.allCases.filter { script == nil || script == "\($0)" }
        return scripts.first.map { String(decoding: $0.source, as: UTF8.self).ranges(of: find).count } ?? 0
    }
}
#endif

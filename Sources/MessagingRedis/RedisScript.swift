#if Redis
/// The Lua scripts: each is one atomic step of the contract.
///
/// They stand in `Scripts/`, one per file.
enum RedisScript: Int, CaseIterable, Sendable {
    case declare, publish, acknowledge, renew, retry, reject, release, tick, trim, leave, redrive, discard
    case statistics, scheduled, cancel, remove

    /// The whole text: the shared functions, then the script's own lines.
    var source: [UInt8] { PackageResources.prelude_lua + body }

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
#endif

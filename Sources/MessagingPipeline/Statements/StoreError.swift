/// Why a store did not do what it was asked to.
public enum StoreError: Error, Sendable, Hashable {
    /// The store holds as many entries as it may.
    case full(capacity: Int)
}

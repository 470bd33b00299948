import Synchronization

/// What one client of a mutant remembers.
final class Memory<Element: Hashable & Sendable>: Sendable {
    private let elements = Mutex<Set<Element>>([])

    func contains(_ element: Element) -> Bool { elements.withLock { $0.contains(element) } }

    /// Adds an element.
    ///
    /// - Returns: Whether it was new.
    @discardableResult
    func insert(_ element: Element) -> Bool { elements.withLock { $0.insert(element).inserted } }
}

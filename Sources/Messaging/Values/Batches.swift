extension Array {
    /// Cuts the array into parts of a size.
    ///
    /// - Parameter size: The most elements of a part; at least 1.
    /// - Returns: The parts in order; none of an empty array.
    package func split(by size: Int) -> [[Element]] {
        stride(from: 0, to: count, by: size).map { Array(self[$0..<Swift.min($0 + size, count)]) }
    }
}

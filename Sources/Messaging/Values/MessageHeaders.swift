/// The headers of a message: names and values in the order they were set, each name once.
///
/// A name is text and is compared byte by byte (`Trace` and `trace` are two headers). A value is any bytes. Names that
/// begin with `mq-` belong to this library; `publish` refuses them.
public struct MessageHeaders: Sendable, Hashable, ExpressibleByDictionaryLiteral, RandomAccessCollection {
    /// One header.
    public struct Header: Sendable, Hashable {
        /// The name, compared byte by byte.
        public let name: String
        /// The value, any bytes.
        public let value: [UInt8]

        /// Creates a header.
        ///
        /// - Parameters:
        ///   - name: The name.
        ///   - value: The value, any bytes.
        public init(name: String, value: [UInt8]) {
            self.name = name
            self.value = value
        }

        /// The value as text, or `nil` when it is not UTF-8.
        public var text: String? { String(validating: value, as: UTF8.self) }
    }

    private var storage: [Header] = []

    /// Creates an empty set of headers.
    public init() {}

    /// Creates headers from names and texts; the last of equal names wins.
    ///
    /// - Parameter elements: Names and values.
    public init(dictionaryLiteral elements: (String, String)...) {
        for (name, value) in elements { self[name] = value }
    }

    /// Creates headers from a list; the last of equal names wins.
    ///
    /// - Parameter headers: The headers in order.
    public init(_ headers: some Sequence<Header>) {
        for header in headers { set(header.name, header.value) }
    }

    /// The value of a header as text; `nil` when it is missing or is not UTF-8.
    ///
    /// Setting `nil` removes it.
    ///
    /// - Parameter name: The header's name.
    public subscript(name: String) -> String? {
        get { bytes(name).flatMap { String(validating: $0, as: UTF8.self) } }
        set { set(name, newValue.map { Array($0.utf8) }) }
    }

    /// Returns the value of a header.
    ///
    /// - Parameter name: The header's name.
    /// - Returns: The bytes, or `nil` when there is no such header.
    public func bytes(_ name: String) -> [UInt8]? {
        storage.first { $0.name.utf8.elementsEqual(name.utf8) }?.value
    }

    /// Sets a header, keeping the place of an existing one.
    ///
    /// - Parameters:
    ///   - name: The header's name.
    ///   - value: The new value; `nil` removes the header.
    public mutating func set(_ name: String, _ value: [UInt8]?) {
        // Swift compares strings by canonical equivalence; on the wire a name is its bytes.
        let index = storage.firstIndex { $0.name.utf8.elementsEqual(name.utf8) }
        switch (index, value) {
        case (let index?, let value?): storage[index] = Header(name: name, value: value)
        case (let index?, nil): storage.remove(at: index)
        case (nil, let value?): storage.append(Header(name: name, value: value))
        case (nil, nil): break
        }
    }

    /// Appends a header without looking for an equal name; for decoders whose source has unique names.
    package mutating func append(_ name: String, _ value: [UInt8]) {
        storage.append(Header(name: name, value: value))
    }

    /// The position of the first header.
    public var startIndex: Int { storage.startIndex }
    /// The position after the last header.
    public var endIndex: Int { storage.endIndex }
    /// The header at a position.
    ///
    /// - Parameter position: A valid position.
    public subscript(position: Int) -> Header { storage[position] }
}

import Foundation

/// Where statements are collected from over the network: a feed or a file that an HTTP server offers.
public struct RemoteSource: Sendable, Hashable {
    /// How statements are written at a source.
    public enum Format: String, Sendable, Hashable, CaseIterable {
        /// Told from what the source answers.
        case automatic = "auto"
        /// RSS or Atom.
        case feed
        /// A JSON array of objects, a JSON Feed, or JSON Lines.
        case json
        /// One JSON object a line.
        case jsonLines = "jsonl"
        /// Comma-separated values with a header.
        case csv
    }

    /// The address as it was given; it may hold credentials.
    public let url: String
    /// The name for reports and for the statements' `source`; free of credentials unless it was given with them.
    public let name: String
    /// How statements are written there.
    public let format: Format
    /// How often to look for new ones; nil to read the source once.
    public let every: Duration?

    /// What the source is called by where its state is kept; free of credentials, the same for http and https, and not
    /// changed by a new password.
    public let key: String

    /// The address without credentials and fragment.
    let address: URL
    /// The user information of the address as a `Basic` credential.
    let authorization: String?
    /// Texts of the address that nobody may see.
    let secrets: [String]
    /// How ids at this source become ids of statements.
    let identity: SourceIdentity

    /// The shortest interval between two looks at a source.
    public static let shortestInterval: Duration = .seconds(1)
    /// The longest address that is accepted, in bytes.
    private static let urlLimit = 4096
    /// The longest name that is accepted, in bytes.
    private static let nameLimit = 512

    /// Creates a source.
    ///
    /// - Parameters:
    ///   - url: An address that begins with `http://` or `https://`; a user name and password in it are sent to its host
    ///     alone.
    ///   - name: The name for reports; the address without user information and values of its query by default.
    ///   - format: How statements are written there.
    ///   - every: How often to look for new ones; nil to read the source once.
    /// - Throws: `SourceError` when the address, the name or the interval cannot be used.
    public init(
        url: String,
        name: String? = nil,
        format: Format = .automatic,
        every: Duration? = nil
    ) throws(SourceError) {
        guard url.utf8.count <= Self.urlLimit else {
            throw SourceError("the address of a source is longer than \(Self.urlLimit) bytes")
        }
        guard var parts = URLComponents(string: url.trimmingCharacters(in: .whitespacesAndNewlines)),
            let scheme = parts.scheme?.lowercased()
        else { throw SourceError("the address of a source is no URL: write https://host/path") }
        guard scheme == "http" || scheme == "https" else {
            throw SourceError("a source is read over http or https, not \(scheme.prefix(20)): write https://host/path")
        }
        guard let host = parts.host?.lowercased(), !host.isEmpty, !host.contains("@") else {
            throw SourceError("the address of a source has no host: write https://host/path")
        }
        if let every, every < Self.shortestInterval {
            throw SourceError("the source at \(host) cannot be read more often than once a second")
        }
        let user = parts.user
        let password = parts.password
        let query = parts.percentEncodedQuery
        let values = parts.queryItems?.compactMap(\.value) ?? []
        let encodedValues = parts.percentEncodedQueryItems?.compactMap(\.value) ?? []
        parts.percentEncodedUser = nil
        parts.percentEncodedPassword = nil
        parts.fragment = nil
        parts.scheme = scheme
        guard let address = parts.url else { throw SourceError("the address of the source at \(host) is no URL") }
        let shown = Self.withoutValues(parts)
        let chosen = name ?? shown
        guard !chosen.isEmpty, chosen.utf8.count <= Self.nameLimit || name == nil,
            chosen.unicodeScalars.allSatisfy({ $0.properties.generalCategory != .control })
        else {
            throw SourceError(
                "the name of the source at \(host) is empty, longer than \(Self.nameLimit) bytes or not printable"
            )
        }
        self.url = url
        self.name = String(chosen.prefix(Self.nameLimit))
        self.format = format
        self.every = every
        self.address = address
        if user != nil || password != nil {
            let pair = "\(user ?? ""):\(password ?? "")"
            authorization = "Basic " + Data(pair.utf8).base64EncodedString()
        } else {
            authorization = nil
        }
        secrets = Set([user, password].compactMap(\.self) + values + encodedValues).filter { $0.utf8.count > 3 }
            .sorted()
        let site = Self.site(parts, host: host, query: query, user: user)
        identity = SourceIdentity(key: site)
        key = format == .automatic ? site : site + "#" + format.rawValue
    }

    private static func withoutValues(_ parts: URLComponents) -> String {
        var shown = parts
        shown.percentEncodedQueryItems = parts.percentEncodedQueryItems?.map {
            URLQueryItem(name: $0.name, value: $0.value == nil ? nil : "***")
        }
        return shown.string ?? ""
    }

    /// Host, port and path; what else tells sources apart only as a hash.
    private static func site(_ parts: URLComponents, host: String, query: String?, user: String?) -> String {
        var site = host
        if let port = parts.port, port != (parts.scheme == "https" ? 443 : 80) { site += ":\(port)" }
        site += parts.percentEncodedPath.isEmpty ? "/" : parts.percentEncodedPath
        if query != nil || user != nil {
            site += "?" + String(StableHash.hash64("\(query ?? "")\n\(user ?? "")".utf8), radix: 16)
        }
        return site
    }

    /// A text in one line in which nothing of the credentials is left.
    func redacted(_ text: String) -> String {
        var result = text
        for secret in secrets { result = result.replacing(secret, with: "***") }
        let scalars = result.unicodeScalars.map { $0.properties.generalCategory == .control ? " " : $0 }
        return String(String.UnicodeScalarView(scalars.prefix(300)))
    }
}

/// A source that cannot be used.
public struct SourceError: Error, Sendable, Hashable, CustomStringConvertible {
    /// What is wrong and what to do, in one line without credentials.
    public let description: String

    /// Creates an error.
    ///
    /// - Parameter description: What is wrong, without credentials.
    public init(_ description: String) { self.description = description }
}

import Foundation

/// What an answer of an HTTP server means for a source; nothing here does I/O.
struct FetchRules: Sendable {
    /// What to do about an answer.
    enum Step: Equatable {
        /// The body is what the source has.
        case read
        /// Nothing is new.
        case unchanged
        /// The source is elsewhere.
        case follow(URL)
        /// The attempt failed.
        case fail(FetchFailure)
    }

    let source: RemoteSource
    let configuration: FetchConfiguration

    /// Decides about an answer by its head.
    ///
    /// - Parameters:
    ///   - status: The status code.
    ///   - url: The address that was asked.
    ///   - header: Looks up a header.
    ///   - redirects: How many redirects have been followed.
    ///   - wasConditional: Whether the request said what is known already.
    ///   - now: The time, for a `Retry-After` that is a date.
    /// - Returns: What to do.
    func step(
        status: UInt,
        from url: URL,
        header: (String) -> String?,
        redirects: Int,
        wasConditional: Bool,
        now: Date
    ) -> Step {
        switch status {
        case 200, 203:
            let encoding = header("content-encoding") ?? ""
            guard Self.encodings.contains(encoding) else {
                return .fail(FetchFailure("the answer is compressed in a way that was not asked for"))
            }
            if encoding.isEmpty || encoding == "identity",
                let length = header("content-length").flatMap({ Int($0) }), length > configuration.maxBytes
            {
                return .fail(tooLarge)
            }
            return .read
        case 304 where wasConditional: return .unchanged
        case 301, 302, 303, 307, 308: return redirect(from: url, to: header("location"), redirects)
        default:
            let retryAfter = Self.retryAfter(header("retry-after"), now: now)
            return .fail(FetchFailure("the server answered \(status)\(Self.hint(status))", retryAfter: retryAfter))
        }
    }

    /// The failure of an answer that is too large.
    var tooLarge: FetchFailure { FetchFailure("the answer is larger than \(configuration.maxBytes) bytes") }

    /// Whether the credentials of the source may be sent to an address.
    ///
    /// They go to the host and port they were given for, or to the same host's https.
    func mayKnowCredentials(_ url: URL) -> Bool {
        let home = source.address
        guard let host = home.host(), url.host()?.lowercased() == host.lowercased() else { return false }
        let isSame = url.scheme?.lowercased() == home.scheme?.lowercased() && Self.port(url) == Self.port(home)
        let isUpgrade = home.scheme == "http" && url.scheme?.lowercased() == "https" && Self.port(url) == 443
        return isSame || isUpgrade
    }

    /// How long a server wants to be left alone: seconds, or until a date.
    static func retryAfter(_ header: String?, now: Date) -> Duration? {
        guard let text = header?.trimmingCharacters(in: .whitespaces), !text.isEmpty else { return nil }
        if text.utf8.allSatisfy({ (0x30...0x39).contains($0) }) {
            // More digits than a century has seconds are only bounded later.
            return .seconds(text.utf8.count > 9 ? 3_153_600_000 : Int(text) ?? 0)
        }
        return FeedDate.parse(text).map {
            .milliseconds(max(0, StatementDate.milliseconds($0) - StatementDate.milliseconds(now)))
        }
    }

    private func redirect(from url: URL, to location: String?, _ redirects: Int) -> Step {
        guard redirects < configuration.maxRedirects else {
            return .fail(FetchFailure("more than \(configuration.maxRedirects) redirects"))
        }
        guard let location, location.utf8.count <= 8192,
            let target = URL(string: location.trimmingCharacters(in: .whitespaces), relativeTo: url)?.absoluteURL
        else { return .fail(FetchFailure("a redirect without an address")) }
        guard let scheme = target.scheme?.lowercased(), scheme == "http" || scheme == "https",
            target.host()?.isEmpty == false
        else { return .fail(FetchFailure("a redirect to something that is not http or https")) }
        if url.scheme?.lowercased() == "https", scheme == "http", !configuration.allowsDowngrade {
            return .fail(FetchFailure("a redirect from https to http is not followed"))
        }
        // Credentials that a server puts into an address are not ours.
        guard var parts = URLComponents(url: target, resolvingAgainstBaseURL: true) else {
            return .fail(FetchFailure("a redirect without an address"))
        }
        parts.percentEncodedUser = nil
        parts.percentEncodedPassword = nil
        parts.fragment = nil
        return parts.url.map(Step.follow) ?? .fail(FetchFailure("a redirect without an address"))
    }

    /// What can be decompressed, as it is written.
    private static let encodings: Set<String> = ["", "identity", "gzip", "deflate"]

    private static func port(_ url: URL) -> Int {
        url.port ?? (url.scheme?.lowercased() == "https" ? 443 : 80)
    }

    private static func hint(_ status: UInt) -> String {
        switch status {
        case 401, 403: ": the source needs other credentials, or does not let programs in"
        case 404: ": there is nothing at this address"
        case 410: ": the source is gone for good; take it off the list"
        case 429: ": it is asked too often"
        case 500...: ": it is in trouble"
        default: ""
        }
    }
}

/// Why an attempt to read a source failed.
struct FetchFailure: Error, Hashable, CustomStringConvertible {
    /// What went wrong, in one line.
    var description: String
    /// How long the server wants to be left alone.
    var retryAfter: Duration?

    init(_ description: String, retryAfter: Duration? = nil) {
        self.description = description
        self.retryAfter = retryAfter
    }
}

#if Redis
import Messaging
import NIOSSL

/// What error replies and broken connections mean to the caller.
enum RedisErrors {
    /// The error for a connection that broke.
    static func broken(_ error: any Error, endpoint: String) -> QueueError {
        switch error {
        case NIOSSLError.handshakeFailed(.sslError), is NIOSSLExtraError:
            // Another attempt meets the same certificate.
            QueueError(
                .unavailable,
                "TLS with \(endpoint) failed (\(error)); check the certificate's name, tls_ca and that the port is a TLS one",
                isRetryable: false,
                underlying: error
            )
        default:
            QueueError(
                .unavailable,
                "the connection to \(endpoint) failed: \(RedisConnection.reason(error))",
                underlying: error
            )
        }
    }

    /// The error for an error reply.
    ///
    /// A reply begins with a word in capitals; ours are NOTFOUND and LEASELOST.
    static func error(_ reply: String, queue: String?) -> QueueError {
        let word = reply.prefix { $0 != " " }
        // What follows may be the arguments of the command, a password among them.
        let shown = reply.firstRange(of: ", with args").map { reply[..<$0.lowerBound] } ?? reply[...]
        let text = "Redis answered: \(shown.prefix(300))"
        switch word {
        case "WRONGPASS", "NOAUTH":
            return QueueError(
                .authentication,
                "Redis refused the user name or password; check the credentials in the URL",
                queue: queue
            )
        case "NOPERM":
            return QueueError(.permissionDenied, "\(text); grant the user this right", queue: queue)
        case "OOM":
            return QueueError(
                .unavailable,
                "Redis is full (maxmemory); let consumers catch up, or give it more memory",
                queue: queue
            )
        case "READONLY":
            return QueueError(
                .unavailable,
                "this Redis is a replica and takes no writes; use the primary",
                queue: queue
            )
        case "LOADING":
            return QueueError(.unavailable, "Redis is loading its data; try again in a moment", queue: queue)
        case "MISCONF", "NOREPLICAS", "BUSY", "TRYAGAIN", "MASTERDOWN", "CLUSTERDOWN":
            return QueueError(.unavailable, "\(text); see the server's log", queue: queue)
        case "WRONGTYPE":
            return QueueError(
                .topologyConflict,
                "a key of the queue holds something that is no stream, hash or sorted set of ours (\(reply)); "
                    + "use another queue name, or move that key away",
                queue: queue
            )
        case "NOGROUP":
            return QueueError(.topologyLost, text, queue: queue, isRetryable: true)
        case "NOTFOUND":
            return QueueError(.notFound, "there is no such queue or group; declare it first", queue: queue)
        case "ERR" where reply.contains("invalid DB index") || reply.contains("DB index is out of range"):
            return QueueError(.invalidArgument, "\(text); choose a database that the server has", queue: queue)
        case "ERR" where reply.contains("AUTH") && reply.contains("without any password configured"):
            return QueueError(
                .authentication,
                "a password was given, but this Redis has none; remove it from the URL",
                queue: queue
            )
        case "ERR" where reply.contains("max number of clients"):
            return QueueError(.unavailable, "\(text); raise maxclients, or wait until others have gone", queue: queue)
        // Redis wraps an error of a command inside a script in a sentence.
        default:
            if reply.contains("user executing the script can't") { return error("NOPERM \(reply)", queue: queue) }
            if reply.contains("WRONGTYPE") { return error("WRONGTYPE \(reply)", queue: queue) }
            if reply.contains("NOGROUP") { return error("NOGROUP \(reply)", queue: queue) }
            if reply.contains("OOM command not allowed") { return error("OOM \(reply)", queue: queue) }
            return QueueError(.brokerError, text, queue: queue)
        }
    }
}

extension RedisReply {
    /// Returns the reply unless it is an error.
    func checked(_ queue: String?) throws(QueueError) -> RedisReply {
        if let error { throw RedisErrors.error(error, queue: queue) }
        return self
    }

    /// Reads the reply's parts; a reply of another shape than expected is an error, never a crash.
    func read<Value>(
        _ queue: String?,
        _ body: (inout RedisReplyCursor) throws(RedisReplyCursor.Unexpected) -> Value
    ) throws(QueueError) -> Value {
        var cursor = try checked(queue).cursor()
        do {
            return try body(&cursor)
        } catch {
            throw QueueError(.undecodable, "Redis sent a reply of another shape than expected", queue: queue)
        }
    }
}
#endif

import AsyncHTTPClient
import Glibc
import KubernetesAPI
import NIOCore
import NIOHTTP1
import NIOHTTPCompression
import NIOPosix
import NIOSSL
import Syscalls

/// Whether the server's certificate was not accepted for a reason that BoringSSL keeps to itself.
func isUntrusted(_ error: any Error) -> Bool {
    guard case NIOSSLError.handshakeFailed(let cause) = error else { return false }
    return "\(cause)".contains("CERTIFICATE_VERIFY_FAILED")
}

/// Puts the errors of NIO and its friends into words that say what to look at.
struct TransportErrors: Sendable {
    let access: ClusterAccess
    let options: KubernetesClient.Options

    func failure(_ error: any Error) -> AttemptFailure {
        if error is CancellationError || Task.isCancelled || error as? HTTPClientError == .cancelled {
            return AttemptFailure(error: .cancelled)
        }
        switch error {
        case let error as HTTPClientError: return failure(error)
        case let error as IOError: return ioFailure(error.errnoCode)
        case let error as NIOConnectionError: return connectionFailure(error)
        case let error as NIOSSLError:
            return AttemptFailure(error: .unreachable(at(tls(error))), isDeadConnection: error == .uncleanShutdown)
        case is NIOSSLExtraError: return AttemptFailure(error: .unreachable(at(wrongName("\(error)"))))
        case let error as NIOTooManyBytesError:
            return AttemptFailure(error: .malformed("an answer of more than \(error.maxBytes ?? options.answerLimit) bytes"))
        case is NIOHTTPDecompression.DecompressionError:
            return AttemptFailure(
                error: .malformed("an answer of more than \(options.answerLimit) bytes, or one not well compressed (\(error))"))
        case HTTPParserError.invalidEOFState: return failure(HTTPClientError.remoteConnectionClosed)
        case is HTTPParserError: return AttemptFailure(error: .malformed(at("this is no HTTP (\(error))")))
        case ChannelError.connectTimeout: return AttemptFailure(error: .unreachable(at(noAnswer)))
        default: return AttemptFailure(error: .unreachable(at("\(error)")))
        }
    }

    private func at(_ cause: String) -> String { "\(access.server.authority) (\(access.origin)): \(cause)" }

    private var noAnswer: String {
        "no connection within \(options.connectTimeout.components.seconds) s; look at the way there: routes, firewalls, the address itself"
    }

    private func failure(_ error: HTTPClientError) -> AttemptFailure {
        switch error {
        case .deadlineExceeded:
            AttemptFailure(error: .unreachable(at("no answer within \(options.requestTimeout)")))
        case .readTimeout:
            AttemptFailure(error: .unreachable(at("nothing came for \(options.silenceTimeout)")))
        case .connectTimeout: AttemptFailure(error: .unreachable(at(noAnswer)))
        case .tlsHandshakeTimeout:
            AttemptFailure(
                error: .unreachable(at("it takes connections and says nothing in TLS; is this the port of an API server?")))
        case .remoteConnectionClosed:
            AttemptFailure(error: .unreachable(at("the connection was closed in the middle")), isDeadConnection: true)
        case .alreadyShutdown: AttemptFailure(error: .cancelled)
        default: AttemptFailure(error: .unreachable(at(error.shortDescription)))
        }
    }

    private func ioFailure(_ code: CInt) -> AttemptFailure {
        AttemptFailure(error: .unreachable(at(words(code))), isDeadConnection: code == ECONNRESET || code == EPIPE)
    }

    private func words(_ code: CInt) -> String {
        switch code {
        case ECONNREFUSED: "connection refused: nothing listens there"
        case ECONNRESET, EPIPE: "the connection was reset"
        case ETIMEDOUT: "the connection is dead: its other end has not answered for a minute"
        case EHOSTUNREACH, ENETUNREACH: "there is no route to it (\(errnoText(code)))"
        default: errnoText(code)
        }
    }

    private func connectionFailure(_ error: NIOConnectionError) -> AttemptFailure {
        guard let first = error.connectionErrors.first?.error else {
            return AttemptFailure(
                error: .unreachable(at("the name \(error.host) has no address in DNS, or no DNS server answers")))
        }
        return failure(first)
    }

    private func tls(_ error: NIOSSLError) -> String {
        switch error {
        case .uncleanShutdown: "the connection was closed in the middle"
        case .handshakeFailed(let cause): "no TLS session: \(meaning("\(cause)"))"
        case .unableToValidateCertificate, .noCertificateToValidate: wrongName("\(error)")
        default: "TLS: \(error)"
        }
    }

    private func meaning(_ cause: String) -> String {
        let known = [
            ("CERTIFICATE_VERIFY_FAILED", "x509: the server's certificate is not accepted"),
            ("WRONG_VERSION_NUMBER", "it does not speak TLS; does it want http:// ?"),
            ("UNKNOWN_CA", "the server does not know the authority of our client certificate"),
            ("CERTIFICATE_EXPIRED", "the server says that our client certificate has expired"),
            ("CERTIFICATE_REQUIRED", "the server wants a client certificate"),
            ("BAD_CERTIFICATE", "the server refuses our client certificate"),
        ]
        return known.first { cause.contains($0.0) }?.1 ?? cause
    }

    private func wrongName(_ detail: String) -> String {
        let name = access.tlsServerName ?? access.server.host
        return "x509: the server's certificate is not for \(name) (\(detail)); set tls-server-name to a name that it has, "
            + "or have the server's certificate made for this one"
    }
}

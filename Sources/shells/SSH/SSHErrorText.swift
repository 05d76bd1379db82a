import Glibc
import NetworkTypes

extension SSHError.Step: CustomStringConvertible {
    public var description: String {
        switch self {
        case .connecting: "connecting"
        case .handshake: "the SSH handshake"
        case .authentication: "logging in"
        case .openingChannel: "opening a channel"
        case .running(let command): "running \"\(command)\""
        case .idle: "waiting for the next command"
        }
    }
}

extension SSHError.Attempt: CustomStringConvertible {
    public var description: String { "\(address): \(failure)" }
}

extension SSHError.Reason: CustomStringConvertible {
    public var description: String {
        switch self {
        case .nameUnresolvable, .unreachable, .refused, .connectTimedOut, .handshakeTimedOut, .authenticationTimedOut,
            .notSSH, .noCommonAlgorithm, .outOfResources:
            connectText
        case .hostKeyUnknown, .hostKeyChanged, .hostKeyRevoked, .authenticationRefused, .secondFactorWanted, .keyUnreadable:
            trustText
        case .connectionLost, .idleTimedOut, .commandTimedOut, .notReady, .excess, .channelRefused, .listeningRefused,
            .outputTooLarge, .inputFailed,
            .cancelled, .closed, .protocolFailure:
            sessionText
        }
    }

    private var connectText: String {
        switch self {
        case .nameUnresolvable(let detail): "the name cannot be resolved: \(detail); check the address and this host's DNS"
        case .unreachable(let attempts):
            "unreachable (\(list(attempts))); check the address, the routes and firewalls on the way"
        case .refused(let attempts):
            "connection refused (\(list(attempts))); check that sshd runs there, and on this port"
        case .connectTimedOut(let after, let attempts):
            "no answer within \(seconds(after))\(attempts.isEmpty ? "" : " (\(list(attempts)))"); "
                + "check the address, that the host is up, and that a firewall lets this port through"
        case .handshakeTimedOut(let after, let heard):
            switch heard {
            case .nothing:
                "the peer took the connection but said nothing within \(seconds(after)); "
                    + "check that sshd listens on this port and is not overloaded"
            case .greeting:
                "the peer greeted as an SSH server, then fell silent in the handshake for the rest of \(seconds(after)); "
                    + "if it persists, check sshd's log and the path's MTU"
            case .keyExchange:
                "the peer fell silent in the key exchange, which did not end within \(seconds(after)); "
                    + "if it persists, check the path's MTU: large packets may be lost on it"
            }
        case .authenticationTimedOut(let after):
            "the login did not end within \(seconds(after)); check sshd's log, often it waits for DNS or PAM"
        case .notSSH(let words):
            words.isEmpty
                ? "the peer closed the connection before any greeting; it may have banned this address or have too many "
                    + "connections open (fail2ban, MaxStartups)"
                : "the peer is no SSH server but \(words); check the address and the port"
        case .noCommonAlgorithm(let kind, let offered, let supported):
            "no \(kind.rawValue) algorithm in common: the server offers \(names(offered)), this side has "
                + "\(names(supported)); \(kind.advice)"
        case .outOfResources(let detail): "this machine has run out: \(detail)"
        default: ""
        }
    }

    private var trustText: String {
        switch self {
        case .hostKeyUnknown(let key, let line, let ignored):
            "the host key is unknown: \(key); if that is the server's fingerprint (ssh-keygen -lf on its host key), "
                + "add this line to known_hosts: \(line)"
                + ignored.prefix(3).map { "; its line \($0.line) is ignored: \($0.reason)" }.joined()
        case .hostKeyChanged(let key, let line, let pinned):
            "the host key is not the known one: the server has \(key), known_hosts has "
                + pinned.map { "\($0.key) in line \($0.line)" }.joined(separator: ", ")
                + (pinned.contains { $0.key.type == key.type }
                    ? "; nothing was sent, since somebody may sit in between. If the server was re-installed, and shows this fingerprint "
                        + "on its console (ssh-keygen -lf on its host key), put this in the place of its lines in known_hosts: "
                    : "; no key of type \(key.type) is known, so compare its fingerprint on the server and add it: ") + line
        case .hostKeyRevoked(let key, let line): "the server's host key \(key) is revoked by line \(line) of known_hosts"
        case .authenticationRefused(let tried, let offered, let hints):
            "the login was refused: tried \(names(tried)); \(offered.map { "the server takes \(names($0)); " } ?? "")"
                + (hints + ["check the user, its authorized_keys and sshd's log"]).joined(separator: "; ")
        case .secondFactorWanted(let offered, let hints):
            "the first credential was taken, and the server wants a second factor: \(names(offered)); "
                + (hints + ["exempt this user from it in sshd_config (Match User, AuthenticationMethods publickey)"])
                .joined(separator: "; ")
        case .keyUnreadable(let detail): "the private key cannot be used: \(detail)"
        default: ""
        }
    }

    private var sessionText: String {
        switch self {
        case .connectionLost(let step, let detail): "the connection was lost while \(step.during): \(detail)"
        case .idleTimedOut(let step, let after):
            "nothing came from the peer for \(seconds(after)) while \(step.during); the host or the path to it is gone"
        case .commandTimedOut(let command, let after): "\"\(command)\" did not end within \(seconds(after))"
        case .notReady(let command, let after, let said):
            "\"\(command)\" was not begun within \(seconds(after)); the host said \(said.isEmpty ? "nothing" : "\"\(said)\"")"
        case .excess(let step, let what): "the peer \(what) while \(step.during); the connection was ended"
        case .channelRefused(let command, let detail):
            "the server did not let \"\(command)\" run: \(detail); check MaxSessions, ForceCommand and the login shell"
        case .listeningRefused(let place):
            "the server does not listen at \(place): the port is taken there, or AllowTcpForwarding, PermitListen, GatewayPorts or the "
                + "key's options (restrict without port-forwarding, permitlisten) forbid it"
        case .outputTooLarge(let command, let limit): "\"\(command)\" printed more than \(limit) bytes"
        case .inputFailed(let command, let detail): "the input for \"\(command)\" could not be read: \(detail)"
        case .cancelled(let step): "cancelled while \(step.during)"
        case .closed: "the connection is closed"
        case .protocolFailure(let step, let code, let detail):
            "\(step.during) failed: \(detail.isEmpty ? "no details" : detail) (libssh2 \(code))"
        default: ""
        }
    }
}

extension SSHError.Step {
    fileprivate var during: String {
        switch self {
        case .handshake: "in the SSH handshake"
        default: description
        }
    }
}

extension SSHError.AlgorithmKind {
    fileprivate var advice: String {
        switch self {
        case .hostKey: "make an ed25519 host key on the server (ssh-keygen -A) and offer it"
        case .keyExchange: "allow curve25519-sha256 on the server (KexAlgorithms)"
        case .cipher: "allow aes256-ctr on the server (Ciphers)\(newer)"
        case .mac: "allow hmac-sha2-256 on the server (MACs)\(newer)"
        }
    }

    private var newer: String {
        Algorithms.isLibraryNew
            ? ""
            : ", or run this with libssh2 1.11 (Debian 13, as the images are), which knows encrypt-then-MAC, GCM and ChaCha20"
    }
}

private func list(_ attempts: [SSHError.Attempt]) -> String { attempts.map(\.description).joined(separator: "; ") }
private func names(_ names: [String]) -> String { names.isEmpty ? "none" : names.joined(separator: ", ") }

/// `30 s`, `1.5 s`.
func seconds(_ duration: Duration) -> String {
    let (whole, attoseconds) = duration.components
    let tenths = attoseconds / 100_000_000_000_000_000
    return tenths == 0 ? "\(whole) s" : "\(whole).\(tenths) s"
}

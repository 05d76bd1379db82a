public import NIOCore
public import NetworkTypes
public import Sodium

/// The edge's own sshd, and the socket behind it where links are taken.
public struct SSHEdge: Sendable, Equatable, CustomStringConvertible {
    public let host: HostAddress
    public let port: Port
    public let user: String
    /// Absolute.
    public let socket: String
    /// As OpenSSH writes it, type and base64; no other is believed.
    public let hostKey: String
    /// By which the user is known.
    public let key: LinkPrivateKey

    /// The longest path of a unix socket, without its end (unix(7)).
    private static let longestSocket = 107

    /// Nil for a user, a socket or a host key that is none.
    public init?(host: HostAddress, port: Port, user: String, socket: String, hostKey: String, key: LinkPrivateKey) {
        func isWord(_ text: String) -> Bool { !text.isEmpty && text.utf8.allSatisfy { (0x21...0x7E).contains($0) } }
        let words = hostKey.split(separator: " ", omittingEmptySubsequences: false).map(String.init)
        guard isWord(user), user.utf8.count <= 32, isWord(socket), socket.hasPrefix("/"), socket.utf8.count <= Self.longestSocket,
            words.count == 2, isWord(words[0]), let blob = decodeBase64(words[1]), blob.count > words[0].utf8.count + 4
        else { return nil }
        self.host = host
        self.port = port
        self.user = user
        self.socket = socket
        self.hostKey = hostKey
        self.key = key
    }

    public var description: String { "SSH \(host.bracketed):\(port)" }
}

/// Opens the way through an sshd on a channel that leads to it; done when bytes can be written. What it adds to the pipeline stays there.
/// It is handed in, for the programs that dial no links do without libssh2.
public typealias SSHOpening = @Sendable (SSHEdge, any Channel) throws -> EventLoopFuture<Void>

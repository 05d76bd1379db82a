import NetworkTypes
import NodeDocument
public import Sodium

/// What the halves of a remote service know each other by where nobody writes Secrets for them: all follows from one password, which both have.
/// Whoever sees a handshake can try passwords at home, so it must be no word of a person's.
public struct PasswordKeys: Sendable {
    /// Characters of the password: what 128 random bits are in hexadecimal digits.
    public static let leastCharacters = 32

    public let gatewayKey: LinkPrivateKey
    public let remoteKey: LinkPrivateKey
    /// Where WebSockets of links are taken.
    public let path: String

    /// - Throws: `InvalidValue`, which never repeats the password, where it is too short or has other characters than visible ones.
    public init(_ password: String) throws {
        guard password.utf8.count >= Self.leastCharacters, password.utf8.allSatisfy({ (0x21...0x7E).contains($0) }) else {
            throw InvalidValue(
                expected: "password", given: "<redacted>",
                reason: "want \(Self.leastCharacters) visible characters at least, such as `openssl rand -hex 16` prints")
        }
        gatewayKey = try LinkPrivateKey(ofPassword: password, for: .gateway)
        remoteKey = try LinkPrivateKey(ofPassword: password, for: .remote)
        path = "/\(gatewayKey.pin)"
    }
}

extension RemoteToken {
    /// - Parameter url: `ws://HOST` or `wss://HOST`, with `:PORT` or without.
    /// - Throws: as `PasswordKeys`.
    public init(password: String, url: String) throws {
        let keys = try PasswordKeys(password)
        self.init(
            facts: Facts(service: "-", url: url, path: keys.path, pin: keys.gatewayKey.pin), key: keys.remoteKey)
    }
}

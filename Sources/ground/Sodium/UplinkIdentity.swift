public import NetworkTypes

/// By which the edge knows an uplink, whichever way it comes.
public struct UplinkIdentity: Hashable, Sendable {
    public var publicKey: WireGuardPublicKey
    /// Of its key for links.
    public var linkPin: SHA256Digest
    /// With which it logs in at the VPS's sshd.
    public var sshKey: SSHPublicKey

    public init(publicKey: WireGuardPublicKey, linkPin: SHA256Digest, sshKey: SSHPublicKey) {
        self.publicKey = publicKey
        self.linkPin = linkPin
        self.sshKey = sshKey
    }

    public init(of key: WireGuardPrivateKey) throws(SodiumError) {
        self.init(
            publicKey: try key.publicKey(), linkPin: try LinkPrivateKey(of: key).pin,
            sshKey: try LinkPrivateKey(of: key, for: .ssh).sshPublicKey)
    }
}

public import NetworkTypes

/// By which the edge knows an uplink, whichever way it comes.
public struct UplinkIdentity: Hashable, Sendable {
    public var publicKey: WireGuardPublicKey
    /// Of its key for links.
    public var linkPin: SHA256Digest

    public init(publicKey: WireGuardPublicKey, linkPin: SHA256Digest) {
        self.publicKey = publicKey
        self.linkPin = linkPin
    }

    public init(of key: WireGuardPrivateKey) throws(SodiumError) {
        self.init(publicKey: try key.publicKey(), linkPin: try LinkPrivateKey(of: key).pin)
    }
}

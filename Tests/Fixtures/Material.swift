public import NodeDocument
public import Sodium

extension TLSMaterial {
    /// With a key that is no secret.
    public init(certificateChain: String, privateKey: String, certificateAuthority: String? = nil) {
        do throws(SodiumError) {
            self.init(
                certificateChain: certificateChain, privateKey: try SecretBytes(copying: privateKey.utf8),
                certificateAuthority: certificateAuthority)
        } catch {
            fatalError("\(error)")
        }
    }
}

extension SecretBytes {
    public var text: String { withUnsafeBytes { String(decoding: $0, as: UTF8.self) } }
}

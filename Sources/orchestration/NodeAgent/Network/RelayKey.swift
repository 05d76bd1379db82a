import NetworkTypes
import NodeDocument
import Sodium

/// The relay's private key: made on the host, never shown.
enum RelayKey {
    /// Reads the key, or makes it on the first call.
    static func ensure(_ paths: HostPaths) throws(AgentError) -> (key: WireGuardPrivateKey, isNew: Bool) {
        if let key = try read(paths) { return (key, false) }
        do {
            let key = try WireGuardPrivateKey.generate()
            var text = key.base64File()
            defer { zero(&text) }
            try replaceFile(paths.relayKey, text, .secretFile)
            return (key, true)
        } catch let error as AgentError {
            throw error
        } catch {
            throw AgentError(.system, "making the relay's key: \(error)")
        }
    }

    /// - Returns: nil when there is none.
    /// - Throws: `AgentError` when the file holds no key; a new one would cut every uplink off without a word.
    static func read(_ paths: HostPaths) throws(AgentError) -> WireGuardPrivateKey? {
        guard let status = try statusOf(paths.relayKey) else { return nil }
        try adjust(paths.relayKey, status, .secretFile)
        guard var text = try readFile(paths.relayKey, limit: 4096) else { return nil }
        do {
            return try WireGuardPrivateKey(consumingBase64: &text)
        } catch {
            throw AgentError(.system, "\(paths.relayKey) holds no WireGuard key; remove it and apply again for a new one")
        }
    }

    static func publicKey(_ key: WireGuardPrivateKey) throws(AgentError) -> WireGuardPublicKey {
        do throws(SodiumError) { return try key.publicKey() } catch { throw AgentError(.system, "\(error)") }
    }

    /// By which the uplinks know this relay on links.
    static func linkKey(_ key: WireGuardPrivateKey) throws(AgentError) -> LinkPrivateKey {
        do throws(SodiumError) { return try LinkPrivateKey(of: key) } catch { throw AgentError(.system, "\(error)") }
    }
}

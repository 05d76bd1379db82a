import CLibssh2
import NetworkTypes

/// The algorithms asked for, best first: what the libssh2 at hand has of these lists. Nothing with SHA-1, CBC or RC4.
struct Algorithms {
    let keyExchange: [String]
    let hostKey: [String]
    let cipher: [String]
    let mac: [String]

    private static let keyExchanges = [
        "curve25519-sha256", "curve25519-sha256@libssh.org", "ecdh-sha2-nistp256", "ecdh-sha2-nistp384", "ecdh-sha2-nistp521",
        "diffie-hellman-group16-sha512", "diffie-hellman-group18-sha512", "diffie-hellman-group14-sha256",
        "diffie-hellman-group-exchange-sha256",
        // No algorithms but announcements, which libssh2 1.11 makes only when they are named here.
        "ext-info-c", "kex-strict-c-v00@openssh.com",
    ]
    /// Whether the libssh2 at hand is 1.11 or newer: that signs with RSA and SHA-2, and knows encrypt-then-MAC, GCM and ChaCha20.
    static var isLibraryNew: Bool { libssh2_version(0x01_0B_00) != nil }

    /// libssh2 1.10 has none of the RSA ones; 1.11 does.
    private static let hostKeys = [
        "ssh-ed25519", "ecdsa-sha2-nistp256", "ecdsa-sha2-nistp384", "ecdsa-sha2-nistp521", "rsa-sha2-512", "rsa-sha2-256",
    ]
    private static let ciphers = [
        "aes256-gcm@openssh.com", "aes128-gcm@openssh.com", "chacha20-poly1305@openssh.com", "aes256-ctr", "aes192-ctr",
        "aes128-ctr",
    ]
    private static let macs = [
        "hmac-sha2-256-etm@openssh.com", "hmac-sha2-512-etm@openssh.com", "hmac-sha2-256", "hmac-sha2-512",
    ]

    /// - Parameter pinnedKeyTypes: host key types to ask for before all others.
    init(supportedBy session: OpaquePointer, pinnedKeyTypes: [String]) {
        func available(_ method: Int32, _ wanted: [String]) -> [String] {
            let supported = Self.supported(by: session, method)
            return wanted.filter(supported.contains)
        }
        keyExchange = available(LIBSSH2_METHOD_KEX, Self.keyExchanges)
        cipher = available(LIBSSH2_METHOD_CRYPT_CS, Self.ciphers)
        mac = available(LIBSSH2_METHOD_MAC_CS, Self.macs)
        hostKey = Self.order(available(LIBSSH2_METHOD_HOSTKEY, Self.hostKeys), pinnedFirst: pinnedKeyTypes)
    }

    /// The algorithms that prove one of `pinnedKeyTypes` first, the others after them in their own order.
    static func order(_ algorithms: [String], pinnedFirst pinnedKeyTypes: [String]) -> [String] {
        let isPinned = { (algorithm: String) in
            pinnedKeyTypes.contains(algorithm) || algorithm.hasPrefix("rsa-sha2-") && pinnedKeyTypes.contains("ssh-rsa")
        }
        return algorithms.filter(isPinned) + algorithms.filter { !isPinned($0) }
    }

    /// Makes `session` ask for these.
    /// - Returns: 0, or libssh2's error.
    func apply(to session: OpaquePointer) -> Int32 {
        for (method, names) in [
            (LIBSSH2_METHOD_KEX, keyExchange), (LIBSSH2_METHOD_HOSTKEY, hostKey), (LIBSSH2_METHOD_CRYPT_CS, cipher),
            (LIBSSH2_METHOD_CRYPT_SC, cipher), (LIBSSH2_METHOD_MAC_CS, mac), (LIBSSH2_METHOD_MAC_SC, mac),
        ] {
            let code = libssh2_session_method_pref(session, method, names.joined(separator: ","))
            if code != 0 { return code }
        }
        return 0
    }

    /// The first kind in which `proposal` has nothing of ours; nil when all fit.
    func mismatch(with proposal: ServerGreeting.Proposal) -> SSHError.Reason? {
        for (kind, offered, ours) in [
            (SSHError.AlgorithmKind.keyExchange, proposal.keyExchange, keyExchange), (.hostKey, proposal.hostKey, hostKey),
            (.cipher, proposal.cipher, cipher), (.mac, proposal.mac, mac),
        ] where !ours.contains(where: offered.contains) {
            // A list of any length may come from a peer nobody knows yet.
            return .noCommonAlgorithm(kind, offered: Array(offered.prefix(24)).map { printable($0, limit: 64) }, supported: ours)
        }
        return nil
    }

    private static func supported(by session: OpaquePointer, _ method: Int32) -> Set<String> {
        var names: UnsafeMutablePointer<UnsafePointer<CChar>?>?
        let count = libssh2_session_supported_algs(session, method, &names)
        guard count > 0, let names else { return [] }
        defer { libssh2_free(session, names) }
        return Set((0..<Int(count)).compactMap { names[$0].map { String(cString: $0) } })
    }
}

import NetworkTypes
public import Sodium

/// A user's private key, in OpenSSH's or a PEM format, with what is needed to open it.
///
/// Its form is checked when it is made, so a key that cannot work fails before any connection. Whether the passphrase
/// is the right one shows only when the key is used.
public struct SSHPrivateKey: Sendable, CustomStringConvertible {
    /// What kind of key it is, as far as the outside of the file tells.
    enum Kind: Equatable, Sendable { case rsa, other, unknown }

    let kind: Kind
    let isEncrypted: Bool
    /// Lines end in `\n`, the last one too; a NUL stands behind it, for libssh2 1.10 also takes strlen(3) of a key it was
    /// given with a length.
    let file: SecretBytes
    /// With the NUL that C wants at its end; one NUL alone when there is none.
    let passphrase: SecretBytes

    /// - Parameter file: the bytes of a key file, such as `ssh-keygen` makes.
    /// - Parameter passphrase: nil for a key that is not encrypted.
    /// - Throws: `InvalidValue` that says why the key cannot be used; it never repeats any of it.
    public init(file: SecretBytes, passphrase: SecretBytes? = nil) throws {
        let outline = try file.withUnsafeBytes { bytes throws(InvalidValue) in try KeyFileOutline(reading: bytes) }
        kind = outline.kind
        isEncrypted = outline.isEncrypted
        if isEncrypted, passphrase?.count ?? 0 == 0 {
            throw KeyFileOutline.invalid("it is encrypted and no passphrase was given")
        }
        var clean = file.withUnsafeBytes { Self.withUnixLineEnds($0) }
        self.file = try SecretBytes(consuming: &clean)
        var terminated = [UInt8]()
        terminated.reserveCapacity((passphrase?.count ?? 0) + 1)
        passphrase?.withUnsafeBytes { terminated.append(contentsOf: $0) }
        let holdsNUL = terminated.contains(0)
        terminated.append(0)
        self.passphrase = try SecretBytes(consuming: &terminated)
        if holdsNUL { throw KeyFileOutline.invalid("its passphrase holds a NUL character") }
    }

    /// libssh2 reads line by line and wants the first to be the `-----BEGIN`.
    private static func withUnixLineEnds(_ bytes: UnsafeRawBufferPointer) -> [UInt8] {
        var result: [UInt8] = []
        // Room for all at once, so that no growing leaves a copy behind.
        result.reserveCapacity(bytes.count + 2)
        for byte in bytes.drop(while: { $0 != UInt8(ascii: "-") }) where byte != UInt8(ascii: "\r") { result.append(byte) }
        if result.last != UInt8(ascii: "\n") { result.append(UInt8(ascii: "\n")) }
        result.append(0)
        return result
    }

    public var description: String { "<SSH private key>" }
}

/// What the outside of a key file tells, without opening it.
struct KeyFileOutline {
    let kind: SSHPrivateKey.Kind
    let isEncrypted: Bool

    static func invalid(_ reason: String) -> InvalidValue {
        InvalidValue(expected: "SSH private key", given: "<redacted>", reason: reason)
    }

    init(reading bytes: UnsafeRawBufferPointer) throws(InvalidValue) {
        let advice = "want the file that \"ssh-keygen -t ed25519\" makes"
        let text = bytes.drop { $0 == 0x20 || $0 == 0x09 || $0 == 0x0A || $0 == 0x0D }
        func starts(_ prefix: String) -> Bool { text.starts(with: prefix.utf8) }
        guard !text.isEmpty else { throw Self.invalid("it is empty; \(advice)") }
        if starts("ssh-") || starts("ecdsa-sha2-") || starts("-----BEGIN PUBLIC KEY") || starts("-----BEGIN SSH2 PUBLIC KEY") {
            throw Self.invalid("it is a public key; \(advice), the one without .pub")
        }
        if starts("PuTTY-User-Key-File") {
            throw Self.invalid("it is in PuTTY's format; export it from puttygen as an OpenSSH key")
        }
        if let damage = PEMDamage(of: bytes) { throw Self.invalid("\(damage)") }
        guard text.count <= KeyDerivation.mostBytes else {
            throw Self.invalid("it is longer than any key, of more than \(KeyDerivation.mostBytes) bytes; \(advice)")
        }
        guard starts("-----BEGIN "), Self.count(text, "-----END ") > 0 else {
            throw Self.invalid("it has no lines -----BEGIN … and -----END …; \(advice)")
        }
        // libssh2 and OpenSSL would each look for one that they like.
        guard Self.count(text, " PRIVATE KEY-----") <= 2 else { throw Self.invalid("it holds several keys; leave one in it") }
        if starts("-----BEGIN OPENSSH PRIVATE KEY-----") {
            self = try Self.readingOpenSSH(text)
        } else if starts("-----BEGIN RSA PRIVATE KEY-----") {
            self.init(kind: .rsa, isEncrypted: Self.count(text, "ENCRYPTED") > 0)
        } else if starts("-----BEGIN EC PRIVATE KEY-----") {
            self.init(kind: .other, isEncrypted: Self.count(text, "ENCRYPTED") > 0)
        } else if starts("-----BEGIN PRIVATE KEY-----") {
            self.init(kind: .unknown, isEncrypted: false)
        } else if starts("-----BEGIN ENCRYPTED PRIVATE KEY-----") {
            guard let der = decodeBase64(String(decoding: Self.body(of: text), as: UTF8.self)) else {
                throw Self.invalid("it is damaged: what stands between its first and last line is no base64")
            }
            if let problem = KeyDerivation.problem(ofPKCS8: der) { throw Self.invalid(problem) }
            self.init(kind: .unknown, isEncrypted: true)
        } else if starts("-----BEGIN DSA PRIVATE KEY-----") {
            throw Self.invalid("DSA keys are no longer accepted by SSH servers; make an ed25519 key")
        } else {
            throw Self.invalid("what it holds is no private key for SSH; \(advice)")
        }
    }

    private init(kind: SSHPrivateKey.Kind, isEncrypted: Bool) {
        self.kind = kind
        self.isEncrypted = isEncrypted
    }

    /// OpenSSH's PROTOCOL.key: the cipher's name and the public key stand in the clear before the private part.
    private static func readingOpenSSH(_ text: Slice<UnsafeRawBufferPointer>) throws(InvalidValue) -> KeyFileOutline {
        let damaged = "it is damaged: what stands between its first and last line is no OpenSSH key"
        var base64 = body(of: text)
        defer { zero(&base64) }
        // Only the head is decoded: what follows the public key is the secret.
        let head = min(base64.count, headLength) / 4 * 4
        guard var bytes = decodeBase64(String(decoding: base64[..<head], as: UTF8.self)) else { throw invalid(damaged) }
        defer { zero(&bytes) }
        var reader = WireFormatReader(bytes)
        guard let magic = reader.bytes(15), magic == Array("openssh-key-v1\0".utf8), let cipher = reader.name(),
            let derivation = reader.name(), let options = reader.string(), let count = reader.uint32(), count == 1,
            let publicLength = reader.uint32(), publicLength > 4, let type = reader.name()
        else { throw invalid(damaged) }
        guard !type.hasPrefix("sk-") else {
            throw invalid(
                "it is of type \(type), whose secret stays in a hardware key that somebody must touch; "
                    + "make a key of its own for Tidegate: ssh-keygen -t ed25519")
        }
        guard !unreadableCiphers.contains(cipher) else {
            throw invalid(
                "it is encrypted by \(cipher), which libssh2 cannot undo; write it anew: ssh-keygen -p -Z aes256-ctr -f FILE")
        }
        if let problem = KeyDerivation.problem(name: derivation, options: options) { throw invalid(problem) }
        return KeyFileOutline(kind: type == "ssh-rsa" ? .rsa : .other, isEncrypted: cipher != "none")
    }

    /// Characters of base64 for 132 bytes. The type of the public key ends within 125 with the longest names OpenSSH has;
    /// the first private byte of a key that is not encrypted comes after 160 (PROTOCOL.key).
    private static let headLength = 176

    /// What OpenSSH can encrypt keys by and libssh2 not (its crypt.c lists those it knows).
    private static let unreadableCiphers: Set = [
        "aes128-gcm@openssh.com", "aes256-gcm@openssh.com", "chacha20-poly1305@openssh.com",
    ]

    /// The base64 between the first line and the last.
    private static func body(of text: Slice<UnsafeRawBufferPointer>) -> [UInt8] {
        let lines = text.drop { $0 != UInt8(ascii: "\n") }
        var base64: [UInt8] = []
        base64.reserveCapacity(lines.count)
        for byte in lines {
            if byte == UInt8(ascii: "-") { break }
            if byte != 0x0A && byte != 0x0D && byte != 0x20 && byte != 0x09 { base64.append(byte) }
        }
        return base64
    }

    private static func count(_ text: Slice<UnsafeRawBufferPointer>, _ word: String) -> Int {
        var (rest, count) = (text, 0)
        let needle = Array(word.utf8)
        while rest.count >= needle.count {
            if rest.starts(with: needle) { count += 1 }
            rest = rest.dropFirst()
        }
        return count
    }
}

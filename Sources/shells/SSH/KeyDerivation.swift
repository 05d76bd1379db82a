/// How much work a key file asks for before its passphrase opens it. The file says so itself, and whoever wrote it may ask for years: no
/// deadline ends that, since libssh2 and OpenSSL give it no break.
enum KeyDerivation {
    /// Rounds of bcrypt in OpenSSH's format: ssh-keygen takes 24, and a hundred take about a second.
    static let mostRounds: UInt32 = 256
    /// Of PBKDF2: a million take about a second.
    static let mostIterations: UInt32 = 2_000_000
    /// Bytes of a key file. RSA with 16,384 bits, which takes some seconds for one signature, has 13,000.
    static let mostBytes = 16 << 10

    static let advice = "write it anew: ssh-keygen -p -f FILE"

    /// - Parameter options: PROTOCOL.key, section 2: a salt as a string, and the rounds.
    /// - Returns: why a key of it is not opened; nil for nothing.
    static func problem(name: String, options: [UInt8]) -> String? {
        if name == "none" { return options.isEmpty ? nil : "its key derivation is none, and has options; \(advice)" }
        var reader = WireFormatReader(options)
        guard name == "bcrypt", reader.string() != nil, let rounds = reader.uint32(), reader.isAtEnd else {
            return "its key derivation is not bcrypt; \(advice)"
        }
        guard rounds <= mostRounds else {
            return "its passphrase takes \(rounds) rounds of bcrypt to try, more than \(mostRounds); \(advice) -a 24"
        }
        return nil
    }

    /// PBES2 and PBKDF2 (RFC 8018, appendix A) by their object identifiers.
    private static let pbes2: [UInt8] = [0x2A, 0x86, 0x48, 0x86, 0xF7, 0x0D, 0x01, 0x05, 0x0D]
    private static let pbkdf2: [UInt8] = [0x2A, 0x86, 0x48, 0x86, 0xF7, 0x0D, 0x01, 0x05, 0x0C]

    /// - Parameter der: an EncryptedPrivateKeyInfo (RFC 5958, section 3).
    /// - Returns: as above.
    static func problem(ofPKCS8 der: [UInt8]) -> String? {
        let foreign = "its key derivation is not PBKDF2; \(advice)"
        var file = DERReader(der[...])
        guard var info = file.sequence(), file.isAtEnd, var algorithm = info.sequence(), algorithm.object() == pbes2,
            var scheme = algorithm.sequence(), var derivation = scheme.sequence(), derivation.object() == pbkdf2,
            var parameters = derivation.sequence(), parameters.next()?.tag == 0x04, let count = parameters.number()
        else { return foreign }
        guard count <= mostIterations else {
            return "its passphrase takes \(count) rounds of PBKDF2 to try, more than \(mostIterations); \(advice)"
        }
        return nil
    }
}

/// Reads elements of DER (X.690) off a byte array, never beyond its end.
private struct DERReader {
    private var rest: ArraySlice<UInt8>

    init(_ bytes: ArraySlice<UInt8>) { rest = bytes }

    var isAtEnd: Bool { rest.isEmpty }

    /// - Returns: nil at the end, and for what is none: an indefinite length too, and one of more than three bytes.
    mutating func next() -> (tag: UInt8, contents: ArraySlice<UInt8>)? {
        guard let tag = rest.popFirst(), let first = rest.popFirst() else { return nil }
        var length = Int(first)
        if first >= 0x80 {
            let octets = Int(first & 0x7F)
            guard (1...3).contains(octets), rest.count >= octets else { return nil }
            length = rest.prefix(octets).reduce(0) { $0 << 8 | Int($1) }
            rest = rest.dropFirst(octets)
        }
        guard length <= rest.count else { return nil }
        defer { rest = rest.dropFirst(length) }
        return (tag, rest.prefix(length))
    }

    mutating func sequence() -> DERReader? {
        guard let (tag, contents) = next(), tag == 0x30 else { return nil }
        return DERReader(contents)
    }

    mutating func object() -> [UInt8]? {
        guard let (tag, contents) = next(), tag == 0x06 else { return nil }
        return Array(contents)
    }

    /// An INTEGER from 0 on; what is larger than 32 bits counts as the largest.
    mutating func number() -> UInt32? {
        guard let (tag, contents) = next(), tag == 0x02, let first = contents.first, first < 0x80 else { return nil }
        let digits = contents.drop { $0 == 0 }
        return digits.count > 4 ? .max : digits.reduce(0) { $0 << 8 | UInt32($1) }
    }
}

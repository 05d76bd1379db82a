import NetworkTypes
import Sodium

@testable import SSH

/// known_hosts, then 0xFF and a host.
@Sendable func fuzzKnownHosts(_ input: [UInt8]) {
    let (file, name) = halves(input)
    let host = text(name).flatMap { HostAddress($0) } ?? .name("vps.example.com")
    requireGlob(file, Array(host.description.utf8))
    guard let text = text(file) else { return }
    do throws(InvalidValue) {
        let known = try KnownHosts(parsing: text)
        for line in known.ignoredLines { requirePrintable(line.reason) }
        for port in [Port.ssh, .defaultTunnel] {
            let types = known.keyTypes(host: host, port: port)
            require(Set(types).count == types.count, "each type once")
            switch known.check(host: host, port: port, key: stranger) {
            case .unknown: require(types.isEmpty, "there are keys for \(host), yet it is unknown")
            case .mismatch(let pinned):
                require(Set(pinned.map(\.key.type)) == Set(types), "the pinned keys have the types")
                for pin in pinned { requirePin(known, host, port, pin) }
            case .trusted, .revoked: require(text.contains("AAAAB3Ryb3VibGUA"), "a stranger's key is trusted")
            }
        }
    } catch {
        requirePrintable(error.description)
    }
}

private let stranger = required("a key") { HostKey(blob: [0, 0, 0, 7] + "trouble".utf8 + [0]) }

private func requirePin(_ known: KnownHosts, _ host: HostAddress, _ port: Port, _ pin: KnownHosts.PinnedKey) {
    switch known.check(host: host, port: port, key: pin.key) {
    case .trusted(let line): require(line <= pin.line, "the first line that vouches counts")
    case .revoked: break
    case .unknown, .mismatch: require(false, "a pinned key is not known")
    }
    let line = pin.key.knownHostsLine(host: host, port: port)
    let again = required("our own line can be read") { () throws(InvalidValue) in try KnownHosts(parsing: line) }
    require(again.check(host: host, port: port, key: pin.key) == .trusted(line: 1), "our own line vouches: \(line)")
}

/// A second, slower answer for short ones.
private func requireGlob(_ glob: [UInt8], _ text: [UInt8]) {
    guard glob.count <= 8, text.count <= 16 else { return }
    func matches(_ glob: ArraySlice<UInt8>, _ text: ArraySlice<UInt8>) -> Bool {
        guard let first = glob.first else { return text.isEmpty }
        if first == UInt8(ascii: "*") {
            return matches(glob.dropFirst(), text) || (!text.isEmpty && matches(glob, text.dropFirst()))
        }
        guard let letter = text.first, first == UInt8(ascii: "?") || first == letter else { return false }
        return matches(glob.dropFirst(), text.dropFirst())
    }
    require(matchesGlob(glob, text) == matches(glob[...], text[...]), "both globs agree")
}

/// A private key file and a passphrase; what a server says before any key is agreed; a host key's blob.
@Sendable func fuzzSSHKey(_ input: [UInt8]) {
    let (file, phrase) = halves(input)
    do {
        let passphrase = phrase.isEmpty ? nil : try SecretBytes(copying: phrase)
        let key = try SSHPrivateKey(file: try SecretBytes(copying: file), passphrase: passphrase)
        key.file.withUnsafeBytes { bytes in
            require(bytes.starts(with: "-----BEGIN ".utf8), "a key file begins with its first line")
            require(bytes.last == 0 && bytes.dropLast().last == 0x0A, "a key file ends with a line's end and NUL")
            require(!bytes.contains(0x0D), "a key file has the lines that libssh2 reads")
        }
        require(!key.isEncrypted || !phrase.isEmpty, "an encrypted key has a passphrase")
    } catch let error as InvalidValue {
        requirePrintable(error.description)
    } catch {
        require(false, "\(error)")
    }
    if let key = HostKey(blob: input) {
        requirePrintable(key.description)
        require(HostKey(blob: key.blob) == key, "a host key is its blob")
    }
    let greeting = ServerGreeting(reading: input)
    requirePrintable(greeting.service)
    if let identification = greeting.identification { requirePrintable(identification) }
}

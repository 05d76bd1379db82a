import NetworkTypes

/// What a peer said in the clear before any key was agreed: read only to explain why a handshake failed.
struct ServerGreeting {
    /// The line that starts with `SSH-`; nil when there is none.
    let identification: String?
    /// What a peer that is no SSH server seems to be, in words of ours; empty for one that said nothing. Its own words are told to
    /// nobody: whoever may name an address would read by them what others hide behind it.
    let service: String
    /// The algorithms it offers; nil when its KEXINIT has not arrived as a whole.
    let proposal: Proposal?

    struct Proposal: Equatable {
        var keyExchange: [String]
        var hostKey: [String]
        /// Towards the server.
        var cipher: [String]
        var mac: [String]
    }

    init(reading bytes: [UInt8]) {
        service = Self.service(bytes)
        var rest = bytes[...]
        var identification: String?
        while identification == nil, let end = rest.firstIndex(of: 0x0A) {
            if rest.starts(with: "SSH-".utf8) {
                identification = printable(String(decoding: rest[..<end].prefix { $0 != 0x0D }, as: UTF8.self))
            }
            rest = rest[(end + 1)...]
        }
        self.identification = identification
        proposal = identification == nil ? nil : Self.readProposal(rest)
    }

    private static func service(_ bytes: [UInt8]) -> String {
        if bytes.isEmpty { return "" }
        let known = [
            ("HTTP/", "a web server"), ("220", "a mail or FTP server"), ("RFB ", "a VNC server"), ("* OK", "an IMAP server"),
            ("+OK", "a POP3 server"), ("\u{15}\u{3}", "a TLS server"), ("-ERR", "a Redis server"),
        ]
        return known.first { bytes.starts(with: $0.0.utf8) }?.1 ?? "something else"
    }

    /// A KEXINIT packet (RFC 4253, sections 6 and 7.1).
    private static func readProposal(_ bytes: ArraySlice<UInt8>) -> Proposal? {
        var packet = WireFormatReader(bytes)
        guard let payload = packet.string() else { return nil }
        var reader = WireFormatReader(payload)
        // Padding length, message number 20, cookie.
        guard reader.bytes(1) != nil, reader.bytes(1) == [20], reader.bytes(16) != nil,
            let keyExchange = reader.nameList(), let hostKey = reader.nameList(), let cipher = reader.nameList(),
            reader.nameList() != nil, let mac = reader.nameList()
        else { return nil }
        return Proposal(keyExchange: keyExchange, hostKey: hostKey, cipher: cipher, mac: mac)
    }
}

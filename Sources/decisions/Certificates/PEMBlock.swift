import NetworkTypes
import Sodium

/// One block of a PEM text (RFC 7468).
struct PEMBlock {
    /// From 1, over all blocks of the text.
    let number: Int
    /// What stands after BEGIN, such as `CERTIFICATE`.
    let label: String
    /// Whether lines stand before the base64 that tell of encryption (RFC 1421).
    let isEncrypted: Bool
    /// What the base64 stands for; empty for a block that was not asked for.
    var bytes: [UInt8]

    /// As every reader of PEM takes it, the last line's end with it.
    static func canonicalText(label: String, bytes: [UInt8]) -> [UInt8] {
        var base64 = base64Bytes(bytes)
        defer { zero(&base64) }
        let (begin, end) = ("-----BEGIN \(label)-----\n", "-----END \(label)-----\n")
        var result: [UInt8] = []
        // Room for all at once, so that no growing leaves a copy of a key behind.
        result.reserveCapacity(begin.utf8.count + base64.count + base64.count / 64 + 1 + end.utf8.count)
        result += begin.utf8
        for start in stride(from: 0, to: base64.count, by: 64) {
            result += base64[start..<min(start + 64, base64.count)]
            result.append(UInt8(ascii: "\n"))
        }
        result += end.utf8
        return result
    }
}

/// What is wrong with a PEM text; goes on after the name of the text or after `block N of` it.
struct PEMFault: Error {
    /// Nil for the text as a whole.
    let block: Int?
    let message: String
}

/// Reads the blocks of a PEM text as people glue them together.
///
/// What stands between blocks is passed over: text of any encoding, the attributes that openssl writes, comments. Taken as well
/// are BEGIN and END within a line, blanks at the ends of lines, lines of any length, and empty ones: their meaning is one alone. It
/// reads each byte a few times at most.
/// - Parameter isWanted: whether blocks with this label shall be decoded.
func readPEM(_ text: UnsafeRawBufferPointer, isWanted: @escaping (String) -> Bool) throws(PEMFault) -> [PEMBlock] {
    if let damage = PEMDamage(of: text) { throw PEMFault(block: nil, message: "cannot be read: \(damage)") }
    if text.count > 2, text[0] == 0x30, text[1] > 0x80 {
        throw PEMFault(
            block: nil,
            message: "is binary (DER or PKCS #12), not PEM; convert it by openssl x509, openssl pkey or openssl pkcs12")
    }
    guard !text.contains(0) else { throw PEMFault(block: nil, message: "is not PEM text") }
    var reader = PEMReader(isWanted: isWanted, size: text.count)
    try text.forEachLine { (line) throws(PEMFault) in try reader.read(line) }
    return try reader.finish()
}

private let beginMark = Array("-----BEGIN ".utf8)
private let endMark = Array("-----END ".utf8)
private let dashes = Array("-----".utf8)

private func isBlank(_ byte: UInt8) -> Bool { byte == 0x20 || (0x09...0x0D).contains(byte) }

private struct PEMReader {
    typealias Line = Slice<UnsafeRawBufferPointer>

    private struct Open {
        let label: String
        let isWanted: Bool
        var base64: [UInt8] = []
        var hasHeader = false
        var isEncrypted = false
    }

    private let isWanted: (String) -> Bool
    private let size: Int
    private var blocks: [PEMBlock] = []
    private var open: Open?

    init(isWanted: @escaping (String) -> Bool, size: Int) {
        self.isWanted = isWanted
        self.size = size
    }

    private func fault(_ message: String) -> PEMFault { PEMFault(block: blocks.count + 1, message: message) }

    mutating func read(_ line: Line) throws(PEMFault) {
        // A block that was commented out is none.
        if open == nil, line.first(where: { !isBlank($0) }) == UInt8(ascii: "#") { return }
        var rest = line
        if open != nil {
            guard let after = try end(in: rest) else { return }
            rest = after
        }
        try begin(in: rest)
    }

    func finish() throws(PEMFault) -> [PEMBlock] {
        if let open { throw fault("has no line -----END \(open.label)-----; it is cut short") }
        return blocks
    }

    private mutating func begin(in line: Line) throws(PEMFault) {
        guard let mark = line.range(of: beginMark) else { return }
        let words = line[mark.upperBound...]
        guard let close = words.range(of: dashes), case let label = words[..<close.lowerBound],
            (1...64).contains(label.count),
            label.allSatisfy({ (0x20...0x7E).contains($0) })
        else { throw fault("has a first line that is not -----BEGIN, a name and -----") }
        let name = String(decoding: label, as: UTF8.self)
        guard words[close.upperBound...].allSatisfy(isBlank) else {
            throw fault("has something behind -----BEGIN \(name)-----; what follows goes on the next line")
        }
        var block = Open(label: name, isWanted: isWanted(name))
        // Room for all at once, so that no growing leaves a copy of a key behind.
        if block.isWanted, name.hasSuffix("PRIVATE KEY") { block.base64.reserveCapacity(size) }
        open = block
    }

    /// - Returns: what follows the block in `line`; nil when it goes on.
    private mutating func end(in line: Line) throws(PEMFault) -> Line? {
        guard let label = open?.label else { return line }
        let mark = line.range(of: endMark)
        let content = line[..<(mark?.lowerBound ?? line.endIndex)]
        guard content.range(of: beginMark) == nil else { throw fault("has no line -----END \(label)-----; it is cut short") }
        if content.contains(UInt8(ascii: ":")) {
            open?.hasHeader = true
            if content.range(of: "ENCRYPTED".utf8) != nil { open?.isEncrypted = true }
        } else if open?.isWanted == true, open?.hasHeader == false {
            for byte in content where !isBlank(byte) { open?.base64.append(byte) }
        }
        guard let mark else { return nil }
        let words = line[mark.upperBound...]
        guard words.starts(with: "\(label)-----".utf8) else { throw fault("begins as \(label) and ends as something else") }
        try close()
        return words.dropFirst(label.utf8.count + dashes.count)
    }

    private mutating func close() throws(PEMFault) {
        guard var block = open else { return }
        open = nil
        defer { zero(&block.base64) }
        var bytes: [UInt8] = []
        if block.isWanted, !block.isEncrypted {
            if block.hasHeader { throw fault("has a line with a colon; between BEGIN and END stands base64 alone") }
            guard let decoded = decodeBase64(block.base64) else {
                throw fault("is not base64, or is cut short; copy it again from its source")
            }
            guard !decoded.isEmpty else { throw fault("is empty") }
            bytes = decoded
        }
        blocks.append(PEMBlock(number: blocks.count + 1, label: block.label, isEncrypted: block.isEncrypted, bytes: bytes))
    }
}

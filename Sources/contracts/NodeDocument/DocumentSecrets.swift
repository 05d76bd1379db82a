import FoundationEssentials
import NetworkTypes
import Sodium
import Synchronization

/// The secrets of one document on their way through Foundation's coders, which copy texts as they like.
///
/// Of one that is written the encoder sees a mark alone (`DocumentText` has the secret). Those that are read and are the same are kept once:
/// thousands of bindings may show one certificate, and each secret takes pages of its own.
final class DocumentSecrets: Sendable {
    private struct State {
        var written: [SecretBytes] = []
        var read: [String: SecretBytes] = [:]
    }

    private static let key = CodingUserInfoKey(rawValue: "secrets")

    /// A mark is this and a number. Nobody can have it in a text of the document.
    private let mark = (0..<2).map { _ in String(UInt64.random(in: .min ... .max), radix: 16) }.joined(separator: "-") + "-"
    private let state = Mutex(State())

    /// What a coder hands on to those who find this by `of`.
    var userInfo: [CodingUserInfoKey: any Sendable] { Self.key.map { [$0: self] } ?? [:] }

    static func of(_ userInfo: [CodingUserInfoKey: Any]) throws(DocumentError) -> DocumentSecrets {
        guard let key, let secrets = userInfo[key] as? DocumentSecrets else {
            throw DocumentError(message: "a secret is written and read by DocumentJSON alone")
        }
        return secrets
    }

    /// What is written in the place of `secret`.
    func mark(_ secret: SecretBytes) -> String {
        state.withLock { state in
            state.written.append(secret)
            return "\(mark)\(state.written.count - 1)"
        }
    }

    func secret(_ text: String) throws(SodiumError) -> SecretBytes {
        if let known = state.withLock({ $0.read[text] }) { return known }
        let secret = try SecretBytes(copying: text.utf8)
        state.withLock { $0.read[text] = secret }
        return secret
    }

    /// Where in `json` secrets belong, in order.
    fileprivate func places(in json: [UInt8]) -> [(mark: Range<Int>, secret: SecretBytes)] {
        let written = state.withLock(\.written)
        var places: [(mark: Range<Int>, secret: SecretBytes)] = []
        var rest = json[...]
        while places.count < written.count, let found = rest.range(of: mark.utf8) {
            let digits = json[found.upperBound...].prefix { (0x30...0x39).contains($0) }
            let number = digits.reduce(0) { $0 * 10 + Int($1 & 0xF) }
            places.append((found.lowerBound..<digits.endIndex, written[number]))
            rest = json[digits.endIndex...]
        }
        return places
    }
}

/// A document's JSON, with its secrets where they are kept.
struct DocumentText {
    private let json: [UInt8]
    private let places: [(mark: Range<Int>, secret: SecretBytes)]

    init(_ value: some Encodable) throws(DocumentError) {
        let secrets = DocumentSecrets()
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        encoder.userInfo = secrets.userInfo
        do {
            json = Array(try encoder.encode(value))
        } catch {
            throw DocumentError(message: "cannot be written as JSON: \(error)")
        }
        places = secrets.places(in: json)
    }

    /// With the secrets in clear.
    var bytes: [UInt8] {
        if places.isEmpty { return json }
        var bytes: [UInt8] = []
        bytes.reserveCapacity(count)
        forEachPiece { bytes += $0 }
        return bytes
    }

    /// Bytes.
    var count: Int {
        var count = 0
        forEachPiece { count += $0.count }
        return count
    }

    /// Lends the text piece by piece.
    func forEachPiece(_ body: (UnsafeRawBufferPointer) -> Void) {
        json.withUnsafeBytes { json in
            var start = 0
            for place in places {
                body(UnsafeRawBufferPointer(rebasing: json[start..<place.mark.lowerBound]))
                place.secret.withUnsafeBytes { forEachEscapedPiece(of: $0, body) }
                start = place.mark.upperBound
            }
            body(UnsafeRawBufferPointer(rebasing: json[start...]))
        }
    }
}

/// Of a text between quotes, as `JSONEncoder` writes it.
private func forEachEscapedPiece(of text: UnsafeRawBufferPointer, _ body: (UnsafeRawBufferPointer) -> Void) {
    var start = 0
    for (place, byte) in text.enumerated() where byte < 0x20 || byte == UInt8(ascii: "\"") || byte == UInt8(ascii: "\\") {
        body(UnsafeRawBufferPointer(rebasing: text[start..<place]))
        (byte < 0x20 ? controls[Int(byte)] : [UInt8(ascii: "\\"), byte]).withUnsafeBytes(body)
        start = place + 1
    }
    body(UnsafeRawBufferPointer(rebasing: text[start...]))
}

private let controls: [[UInt8]] = (0..<0x20).map { byte in
    switch byte {
    case 0x08: Array("\\b".utf8)
    case 0x09: Array("\\t".utf8)
    case 0x0A: Array("\\n".utf8)
    case 0x0C: Array("\\f".utf8)
    case 0x0D: Array("\\r".utf8)
    default: Array((byte < 0x10 ? "\\u000" : "\\u00").utf8) + Array(String(byte, radix: 16).utf8)
    }
}

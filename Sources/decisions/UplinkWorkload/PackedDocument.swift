public import NodeDocument
import Sodium

// A ConfigMap holds 1 MiB, which is some 8,000 bindings as an object each, and twice that as a line each. Lines are written only
// where objects do not fit: people read objects, and uplinks of former releases know no lines.

extension UplinkObjects {
    /// The document for `configMap(document:hash:)`, with a line for each forward where it would be too long otherwise; it may be too
    /// long even so.
    public static func json(of document: UplinkDocument) throws(DocumentError) -> [UInt8] {
        let plain = try DocumentJSON.encode(document)
        return plain.count <= configMapLimit ? plain : try DocumentJSON.encode(PackedDocument(document))
    }
}

/// As an `UplinkDocument`, but for the forwards, which are in `lines`.
private struct PackedDocument: Encodable {
    var format = UplinkDocument.packedFormat
    var owner: Owner
    var hash: SHA256Digest
    var content: UplinkContent
    /// `Forward.line` each.
    var lines: [String]
    /// By binding; nil where no forward has any.
    var endpoints: [String: [Endpoint]]?

    init(_ document: UplinkDocument) {
        owner = document.owner
        hash = document.hash
        content = document.content
        content.forwards = []
        lines = document.content.forwards.map(\.line)
        let spread = document.content.forwards.compactMap { forward in forward.endpoints.map { (forward.binding, $0) } }
        endpoints = spread.isEmpty ? nil : Dictionary(spread, uniquingKeysWith: { first, _ in first })
    }
}

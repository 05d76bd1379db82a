import FoundationEssentials
public import Sodium

/// The JSON of documents and reports: keys sorted, so that equal values are equal bytes.
public enum DocumentJSON {
    public static func encode(_ value: some Encodable) throws(DocumentError) -> [UInt8] {
        try DocumentText(value).bytes
    }

    /// The same of a value that holds secrets: no copy of them is left anywhere else.
    public static func encodeSecret(_ value: some Encodable) throws(DocumentError) -> SecretBytes {
        let text = try DocumentText(value)
        do throws(SodiumError) {
            return try SecretBytes(count: text.count) { target in
                var rest = target[...]
                text.forEachPiece { piece in
                    UnsafeMutableRawBufferPointer(rebasing: rest).copyMemory(from: piece)
                    rest = rest.dropFirst(piece.count)
                }
            }
        } catch {
            throw DocumentError(message: "cannot be kept: \(error)")
        }
    }

    /// SHA-256 of the value's JSON.
    static func digest(of value: some Encodable) throws(DocumentError) -> SHA256Digest {
        let text = try DocumentText(value)
        var hash = SHA256()
        text.forEachPiece { hash.update($0) }
        return hash.finish()
    }

    /// - Throws: `DocumentError` that names the field at fault; unknown fields are let through, as a newer writer may add some.
    public static func decode<Value: Decodable>(_ type: Value.Type, from bytes: some Collection<UInt8>) throws(DocumentError)
        -> Value
    {
        do {
            let decoder = JSONDecoder()
            decoder.userInfo = DocumentSecrets().userInfo
            return try decoder.decode(type, from: Data(bytes))
        } catch let error as DecodingError {
            throw DocumentError(error)
        } catch {
            throw DocumentError(message: "cannot be read: \(error)")
        }
    }
}

/// A document or report that is not what it should be.
public struct DocumentError: Error, Hashable, Sendable, CustomStringConvertible {
    public var message: String

    public init(message: String) { self.message = message }

    init(_ error: DecodingError) {
        func path(_ context: DecodingError.Context, _ last: (any CodingKey)? = nil) -> String {
            let keys = context.codingPath + (last.map { [$0] } ?? [])
            let text = keys.map { $0.intValue.map { "[\($0)]" } ?? ".\($0.stringValue)" }.joined()
            return text.isEmpty ? "the document" : String(text.drop { $0 == "." })
        }
        switch error {
        case .keyNotFound(let key, let context): message = "\(path(context, key)) is missing"
        case .typeMismatch(let type, let context): message = "\(path(context)) is not a \(type)"
        case .valueNotFound(let type, let context): message = "\(path(context)) is null, not a \(type)"
        case .dataCorrupted(let context):
            message = context.codingPath.isEmpty ? "not valid JSON" : "\(path(context)): \(context.debugDescription)"
        @unknown default: message = "cannot be read"
        }
    }

    public var description: String { message }
}

extension RelayContent {
    /// SHA-256 of the content's JSON.
    public func digest() throws(DocumentError) -> SHA256Digest { try DocumentJSON.digest(of: self) }
}

extension UplinkContent {
    /// SHA-256 of the content's JSON.
    public func digest() throws(DocumentError) -> SHA256Digest { try DocumentJSON.digest(of: self) }
}

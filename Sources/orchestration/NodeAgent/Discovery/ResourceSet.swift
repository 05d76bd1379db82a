import Sodium

/// All clusters, or all listeners, as Envoy is to have them: a file of Envoy's folder, which the agent writes and the prober serves.
///
/// Its form is that of a `DiscoveryResponse`, which is also what Envoy would read as a file.
struct ResourceSet: Hashable, Sendable {
    struct Resource: Hashable, Sendable {
        var name: String
        /// The message without its type.
        var bytes: [UInt8]
        /// What tells it from another of its name: a digest of its bytes.
        var version: String
    }

    static let clusterType = EnvoyEncoder.typePrefix + EnvoyMessage.cluster.name
    static let listenerType = EnvoyEncoder.typePrefix + EnvoyMessage.listener.name

    let typeURL: String
    /// A digest of all; Envoy says it of what it took.
    let version: String
    let resources: [Resource]

    /// Half of a SHA-256 tells one from another well enough.
    private static func version(of bytes: [UInt8]) -> String { String(SHA256.digest(of: bytes).description.prefix(16)) }

    /// Encodes resources for a file.
    static func file(typeURL: String, _ resources: [[UInt8]]) -> (bytes: [UInt8], version: String) {
        var writer = ProtobufWriter()
        for resource in resources {
            writer.field(2) { any in
                any.field(1, typeURL.utf8)
                any.field(2, resource)
            }
        }
        writer.field(4, typeURL.utf8)
        let version = version(of: writer.bytes)
        writer.field(1, version.utf8)
        return (writer.bytes, version)
    }

    /// Reads a file that `file` made.
    init(_ bytes: [UInt8]) throws(MalformedMessage) {
        var typeURL = ""
        var version = ""
        var resources: [Resource] = []
        var reader = ProtobufReader(bytes[...])
        while let (field, value) = try reader.next() {
            guard case .bytes(let contents) = value else { continue }
            switch field {
            case 1: version = String(decoding: contents, as: UTF8.self)
            case 2: resources.append(try Self.resource(contents))
            case 4: typeURL = String(decoding: contents, as: UTF8.self)
            default: break
            }
        }
        guard typeURL == Self.clusterType || typeURL == Self.listenerType else {
            throw MalformedMessage(reason: "neither clusters nor listeners")
        }
        (self.typeURL, self.version, self.resources) = (typeURL, version, resources)
    }

    private static func resource(_ any: ArraySlice<UInt8>) throws(MalformedMessage) -> Resource {
        var reader = ProtobufReader(any)
        while let (field, value) = try reader.next() {
            guard field == 2, case .bytes(let contents) = value else { continue }
            var inner = ProtobufReader(contents)
            while let (field, value) = try inner.next() {
                // Field 1 of a cluster, and of a listener, is its name.
                guard field == 1, case .bytes(let name) = value else { continue }
                let bytes = Array(contents)
                return Resource(name: String(decoding: name, as: UTF8.self), bytes: bytes, version: version(of: bytes))
            }
        }
        throw MalformedMessage(reason: "a resource without a name")
    }
}

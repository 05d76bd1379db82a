import Glibc
import NetworkTypes
import NodeDocument
import Sodium
import Syscalls

/// Reading what the controller writes for uplinks: the shared document and the key.
enum DocumentFile {
    /// Bytes. A ConfigMap holds at most 1 MiB; 65,535 bindings in a file take some 9 MiB.
    static let documentLimit = 16 << 20
    static let keyLimit = 1024
    /// Of what the kernel says of conntrack, a line a processor.
    static let statisticsLimit = 1 << 18

    static func read(path: String) throws(UplinkError) -> [UInt8] { try read(path, limit: documentLimit) }

    static func readText(path: String) throws(UplinkError) -> String {
        String(decoding: try read(path, limit: statisticsLimit), as: UTF8.self)
    }

    static func parse(_ bytes: [UInt8], path: String) throws(UplinkError) -> UplinkDocument {
        var document: UplinkDocument
        do throws(DocumentError) {
            document = try DocumentJSON.decode(UplinkDocument.self, from: bytes)
            if document.format == UplinkDocument.packedFormat { try unpack(&document, bytes) }
        } catch {
            throw .documentInvalid(path: path, reason: error.message)
        }
        if let flaw = Flaw(in: document) { throw .documentInvalid(path: path, reason: "\(flaw.field): \(flaw.reason)") }
        return document
    }

    private struct Lines: Decodable {
        var lines: [String]
        var endpoints: [String: [Endpoint]]?
    }

    /// Puts the forwards of a packed document where they are in others.
    private static func unpack(_ document: inout UplinkDocument, _ bytes: [UInt8]) throws(DocumentError) {
        let packed = try DocumentJSON.decode(Lines.self, from: bytes)
        for (index, line) in packed.lines.enumerated() {
            do throws(InvalidValue) {
                var forward = try Forward(line: line)
                forward.endpoints = packed.endpoints?[forward.binding]
                document.content.forwards.append(forward)
            } catch {
                throw DocumentError(message: "lines[\(index)]: \(error)")
            }
        }
        document.format = UplinkDocument.currentFormat
    }

    static func readKey(path: String) throws(UplinkError) -> WireGuardPrivateKey {
        var text = try read(path, limit: keyLimit)
        do {
            return try WireGuardPrivateKey(consumingBase64: &text)
        } catch let error as InvalidValue {
            throw .keyInvalid(path: path, reason: error.reason)
        } catch {
            throw .keyInvalid(path: path, reason: "\(error)")
        }
    }

    private static func read(_ path: String, limit: Int) throws(UplinkError) -> [UInt8] {
        let status: stat
        do throws(SystemFailure) {
            let file = try Descriptor.open(path, O_RDONLY)
            status = try file.status()
            if FileKind(status) == .regular { return try file.readAll(limit: limit) }
        } catch {
            throw .fileUnreadable(path: path, reason: error.code == EFBIG ? "more than \(limit) bytes" : error.reason)
        }
        throw .fileUnreadable(path: path, reason: "not a regular file")
    }
}

/// What is wrong with a document whose fields are each valid.
private struct Flaw {
    var field: String
    var reason: String

    init?(in document: UplinkDocument) {
        let content = document.content
        guard document.format == UplinkDocument.currentFormat else {
            self.init("format", "want \(UplinkDocument.currentFormat), not \(document.format): this uplink is of another release")
            return
        }
        // Bounds of the EdgeNode's fields.
        guard (576...65535).contains(content.mtu) else {
            self.init("content.mtu", "want 576 to 65535 bytes, not \(content.mtu)")
            return
        }
        guard (0...65535).contains(content.persistentKeepalive) else {
            self.init("content.persistentKeepalive", "want 0 to 65535 seconds, not \(content.persistentKeepalive)")
            return
        }
        guard content.network.contains(content.relay.address) else {
            self.init("content.relay.address", "\(content.relay.address) lies outside the network \(content.network)")
            return
        }
        var ordinals: Set<Int> = []
        var addresses: Set<IPv4Address> = [content.relay.address]
        for (index, replica) in content.replicas.enumerated() {
            let field = "content.replicas[\(index)]"
            guard ordinals.insert(replica.ordinal).inserted else {
                self.init("\(field).ordinal", "\(replica.ordinal) is another replica's too")
                return
            }
            guard content.network.contains(replica.address) else {
                self.init("\(field).address", "\(replica.address) lies outside the network \(content.network)")
                return
            }
            guard addresses.insert(replica.address).inserted else {
                self.init("\(field).address", "\(replica.address) is another's too")
                return
            }
        }
        var owners: [String: String] = [:]
        for (index, forward) in content.forwards.enumerated() {
            let key = "\(forward.protocol)/\(forward.tunnelPort)"
            if let other = owners.updateValue(forward.binding, forKey: key) {
                self.init("content.forwards[\(index)].tunnelPort", "\(key) is \(printable(other))'s too")
                return
            }
            if forward.tunnelPort == .uplinkReadiness, forward.protocol == .tcp {
                self.init("content.forwards[\(index)].tunnelPort", "\(forward.tunnelPort) is the readiness port")
                return
            }
            if let endpoints = forward.endpoints, !(1...Forward.mostEndpoints).contains(endpoints.count) {
                self.init("content.forwards[\(index)].endpoints", "want 1 to \(Forward.mostEndpoints), not \(endpoints.count)")
                return
            }
        }
        return nil
    }

    private init(_ field: String, _ reason: String) {
        self.field = field
        self.reason = reason
    }
}

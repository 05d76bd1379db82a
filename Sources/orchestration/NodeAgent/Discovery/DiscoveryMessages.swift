import NetworkTypes
import NodeDocument

/// `envoy.service.discovery.v3.DiscoveryRequest`, as far as it concerns us.
struct DiscoveryRequest: Hashable {
    var typeURL = ""
    var names: Set<String> = []
    /// Of the response that this one answers; empty in the first.
    var nonce = ""
    /// Why Envoy refused that response; nil when it took it.
    var refusal: String?

    /// Beyond what a document may have (10,000 bindings), for the clusters of an old and a new one.
    static let nameLimit = 40_000

    init(typeURL: String, names: Set<String>, nonce: String = "", refusal: String? = nil) {
        self.typeURL = typeURL
        self.names = names
        self.nonce = nonce
        self.refusal = refusal
    }

    init(_ bytes: ArraySlice<UInt8>) throws(MalformedMessage) {
        var reader = ProtobufReader(bytes)
        while let (field, value) = try reader.next() {
            guard case .bytes(let contents) = value else { continue }
            switch field {
            case 3:
                guard contents.count <= 256, names.count < Self.nameLimit else {
                    throw MalformedMessage(reason: "more names, or longer ones, than any configuration has")
                }
                names.insert(String(decoding: contents, as: UTF8.self))
            case 4: typeURL = String(decoding: contents.prefix(256), as: UTF8.self)
            case 5: nonce = String(decoding: contents.prefix(256), as: UTF8.self)
            case 6: refusal = try message(ofStatus: contents)
            default: break
            }
        }
    }
}

/// The words of a `google.rpc.Status`.
func message(ofStatus bytes: ArraySlice<UInt8>) throws(MalformedMessage) -> String {
    var message = "no reason given"
    var reader = ProtobufReader(bytes)
    while let (field, value) = try reader.next() {
        if field == 2, case .bytes(let contents) = value {
            message = printable(String(decoding: contents.prefix(4096), as: UTF8.self), limit: 600)
        }
    }
    return message
}

/// `envoy.service.discovery.v3.DiscoveryResponse`.
func discoveryResponse(typeURL: String, nonce: String, resources: [[UInt8]]) -> [UInt8] {
    var writer = ProtobufWriter()
    writer.field(1, nonce.utf8)
    for resource in resources {
        // google.protobuf.Any
        writer.field(2) { any in
            any.field(1, typeURL.utf8)
            any.field(2, resource)
        }
    }
    writer.field(4, typeURL.utf8)
    writer.field(5, nonce.utf8)
    return writer.bytes
}

/// `envoy.config.endpoint.v3.ClusterLoadAssignment`.
struct LoadAssignment: Hashable {
    struct Endpoint: Hashable {
        var address: IPv4Address
        var port: Port
        var isHealthy: Bool
        /// Of two ways to one uplink; those of the lowest are used while one of them is well.
        var priority = 0
    }

    static let typeURL = "type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment"

    var cluster: String
    var endpoints: [Endpoint]

    var bytes: [UInt8] {
        var writer = ProtobufWriter()
        writer.field(1, cluster.utf8)
        // Envoy wants them from 0 on without a gap.
        let priorities = Set(endpoints.map(\.priority)).sorted()
        for (number, priority) in zip(UInt64(0)..., priorities.isEmpty ? [0] : priorities) {
            // LocalityLbEndpoints.
            writer.field(2) { locality in
                for endpoint in endpoints where endpoint.priority == priority { locality.field(2, endpoint.write) }
                if number > 0 { locality.field(5, number) }
            }
        }
        if priorities.count > 1 {
            // Policy, and in that overprovisioning_factor, a UInt32Value in hundredths. Envoy sends some connections to the next priority as
            // soon as a third is not well at the first: with this one alone is enough.
            writer.field(4) { policy in
                policy.field(3) { $0.field(1, UInt64(100 * endpoints.count)) }
            }
        }
        return writer.bytes
    }
}

extension LoadAssignment.Endpoint {
    /// As `LbEndpoint`.
    fileprivate func write(_ member: inout ProtobufWriter) {
        // Endpoint, its Address, and in that the SocketAddress.
        member.field(1) { inner in
            inner.field(1) { outer in
                outer.field(1) { socket in
                    socket.field(2, address.description.utf8)
                    socket.field(3, UInt64(port.number))
                }
            }
        }
        // HealthStatus: HEALTHY 1, UNHEALTHY 2.
        member.field(2, isHealthy ? 1 : 2)
    }
}

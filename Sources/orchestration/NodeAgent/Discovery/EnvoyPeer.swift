import Glibc
import Syscalls

/// One connection of an Envoy: moves bytes between its socket, HTTP/2 and the stream on it.
final class EnvoyPeer {
    enum Role {
        case endpoints(EndpointStream)
        case resources(ResourceStream)
    }

    private let connection: Descriptor
    var descriptor: Int32 { connection.number }
    /// Of the Envoy; 0 when the kernel does not say.
    let pid: Int32
    private(set) var role: Role
    private(set) var isOver = false
    /// Clusters that this Envoy has replaced since they were asked for.
    private var replaced: [String] = []
    private var http = HTTP2Connection()
    private var isOpen = false
    /// Of the watch that was looked at last.
    private var revision = -1

    init(_ connection: Descriptor, _ role: Role) {
        self.connection = connection
        self.role = role
        pid = connection.peer?.process ?? 0
        write()
    }

    var awaited: Int16 { Int16(POLLIN) | (http.output.isEmpty ? 0 : Int16(POLLOUT)) }

    /// Whether its Envoy waits for endpoints.
    var isWaiting: Bool { if case .endpoints(let stream) = role { stream.isWaiting } else { false } }

    /// Reads and writes what it can.
    /// - Returns: what is to be said of it; nil for nothing.
    func advance() -> String? {
        var complaint: String?
        var buffer = [UInt8](repeating: 0, count: 64 << 10)
        guard let count = try? connection.receive(into: &buffer) ?? -1, count != 0 else {
            isOver = true
            return nil
        }
        do throws(MalformedMessage) {
            for event in try http.take(buffer.prefix(max(0, count))) {
                switch event {
                case .opened:
                    begin()
                    isOpen = true
                case .closed: isOpen = false
                case .message(let bytes): if let refusal = try take(bytes) { complaint = "Envoy refused: \(refusal)" }
                }
                revision = -1
            }
        } catch {
            isOver = true
            return "cut, for it sent \(error.reason)"
        }
        write()
        return complaint
    }

    private func begin() {
        switch role {
        case .endpoints: role = .endpoints(EndpointStream())
        case .resources: role = .resources(ResourceStream())
        }
    }

    private func take(_ bytes: [UInt8]) throws(MalformedMessage) -> String? {
        switch role {
        case .endpoints(var stream):
            let refusal = stream.take(try DiscoveryRequest(bytes[...]))
            role = .endpoints(stream)
            return refusal
        case .resources(var stream):
            let request = try DeltaRequest(bytes[...])
            let names = stream.take(request)
            if stream.typeURL == ResourceSet.clusterType { replaced += names }
            role = .resources(stream)
            return request.refusal
        }
    }

    /// - Returns: the clusters that it has replaced since the last call.
    func takeReplaced() -> [String] {
        defer { replaced = [] }
        return replaced
    }

    func noteReplaced(_ clusters: [String]) {
        guard case .endpoints(var stream) = role, !clusters.isEmpty else { return }
        stream.replaced(clusters)
        role = .endpoints(stream)
        revision = -1
    }

    /// Whether it has not answered what it is to be told of clusters.
    func isBehind(_ clusters: ResourceSet?) -> Bool {
        guard case .resources(let stream) = role, stream.typeURL == clusters?.typeURL else { return false }
        return stream.answer?.version != clusters?.version
    }

    /// Sends what the Envoy does not know yet.
    func tell(_ watch: UplinkWatch, _ sets: [String: ResourceSet]) {
        guard isOpen, http.isDrained else { return }
        switch role {
        case .endpoints(var stream):
            guard revision != watch.endpointRevision else { return }
            revision = watch.endpointRevision
            let response = stream.response { watch.assignment($0)?.bytes }
            role = .endpoints(stream)
            if let response { http.send(response) }
        case .resources(var stream):
            guard let type = stream.typeURL, let wanted = sets[type], let response = stream.response(wanted) else { return }
            role = .resources(stream)
            http.send(response)
        }
        write()
    }

    private func write() {
        while !http.output.isEmpty {
            let bytes = http.takeOutput()
            guard let count = try? connection.send(bytes) else {
                isOver = true
                return
            }
            if count < bytes.count {
                http.putBack(bytes.dropFirst(count))
                return
            }
        }
    }
}

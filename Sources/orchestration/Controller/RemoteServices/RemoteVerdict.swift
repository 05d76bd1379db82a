import EdgeAPI
import NetworkTypes
import RemoteDocuments

/// Why something of a RemoteService is not as it should be.
struct RemoteFault: Error, Hashable, Sendable {
    /// CamelCase.
    var reason: String
    /// What is so, and what to do about it.
    var message: String
    var host: String?

    init(reason: String, message: String) {
        self.reason = reason
        self.message = message
    }

    func keeping(host: String?) -> RemoteFault {
        var fault = self
        fault.host = host
        return fault
    }

    /// Nothing passes by itself: somebody has to change the object.
    var isFinal: Bool { reason == "InvalidSpec" }
}

/// What a look at a RemoteService found.
struct RemoteVerdict: Sendable {
    /// Why it could not be looked at to the end.
    var failure: RemoteFault?
    var host: String?
    var url: String?
    var joinSecret: String?
    /// Why the gateway cannot be reached; nil where it can.
    var gateway: RemoteFault?
    /// What the gateway says; nil where it could not be asked.
    var report: GatewayReport?

    init(failure: RemoteFault? = nil) { self.failure = failure }

    /// Why the mesh is not up; nil where it is, or there is none.
    private var meshTrouble: String? {
        guard let mesh = report?.mesh else { return nil }
        if let trouble = mesh.trouble { return "at the gateway: " + printable(trouble, limit: 300) }
        return mesh.isUp
            ? nil
            : "the remote's WireGuard has not been heard of for some seconds; was it started with --mesh? Its log says what is in the way"
    }

    func status(
        of metadata: ObjectMeta, ports: [RemotePort], former: RemoteServiceStatus?, now: String
    ) -> RemoteServiceStatus {
        var status = RemoteServiceStatus(
            conditions: former?.conditions ?? [], observedGeneration: metadata.generation, url: url ?? former?.url,
            host: host ?? former?.host, joinSecret: joinSecret ?? former?.joinSecret)
        let trouble =
            failure ?? gateway
            ?? report?.trouble.map {
                RemoteFault(reason: "ConfigurationRefused", message: "the gateway says: " + printable($0, limit: 200))
            }
        let told = Dictionary((report?.ports ?? []).map { ($0.name, $0) }, uniquingKeysWith: { first, _ in first })
        status.ports = ports.map { port in
            guard let report else { return .init(name: port.name, client: nil, message: "the gateway does not answer") }
            guard let one = told[port.name] else {
                let reason = report.trouble.map { ": " + printable($0, limit: 200) } ?? ", which takes a minute at most"
                return .init(name: port.name, client: nil, message: "the gateway has not taken it up yet\(reason)")
            }
            return .init(name: port.name, client: one.client, message: one.trouble.map { printable($0, limit: 200) } ?? "")
        }
        let connected = status.ports.count { $0.client != nil && $0.message.isEmpty }
        status.connectedPorts = "\(connected)/\(ports.count)"
        func set(_ type: String, _ isTrue: Bool, _ reason: String, _ message: String) {
            status.conditions.set(
                Condition(
                    type: type, status: isTrue ? .true : .false, reason: reason, message: message,
                    observedGeneration: metadata.generation), now: now)
        }
        let join = joinSecret.map { "; Secret \($0) has the command" } ?? ""
        set(
            "GatewayReady", trouble == nil, trouble?.reason ?? "Serving",
            trouble?.message ?? "the gateway takes its remote at \(url ?? "its host")")
        let meshTrouble = meshTrouble
        let isConnected = connected == ports.count && !ports.isEmpty && meshTrouble == nil
        let missing = status.ports.first { $0.client == nil || !$0.message.isEmpty }
        let words =
            report == nil
            ? "the gateway cannot be asked"
            : connected == 0
                ? "no remote is connected\(join)"
                : connected == ports.count
                    ? "the ports are connected, the mesh is not: \(meshTrouble ?? "")"
                    : "\(connected) of \(ports.count) ports are connected; \(missing?.name ?? ""): "
                        + (missing.map { $0.message.isEmpty ? "no remote is connected for it" : $0.message } ?? "")
        set(
            "Connected", isConnected,
            isConnected
                ? "Connected"
                : report == nil
                    ? "GatewayUnknown" : connected == 0 ? "NoRemote" : connected < ports.count ? "SomePorts" : "NoMesh",
            isConnected
                ? "the remote takes connections for all ports" + (report?.mesh == nil ? "" : ", and the mesh is up") : words)
        if let trouble {
            set("Ready", false, trouble.reason, trouble.message)
        } else {
            set("Ready", isConnected, status.conditions["Connected"]?.reason ?? "", status.conditions["Connected"]?.message ?? "")
        }
        return status
    }
}

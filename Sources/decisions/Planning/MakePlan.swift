import EdgeAPI
import NetworkTypes
import NodeDocument

/// Decides what the VPS and the uplinks of `input.node` should be.
///
/// Never fails: a binding that cannot be is in `exclusions`, and all the others are planned. Where two want the same thing the
/// older PortBinding wins, by creation time, then by name.
public func makePlan(_ input: PlanInput) -> Plan {
    var planner = Planner(input: input)
    planner.planBindings()
    return planner.plan()
}

private struct Accepted {
    var id: BindingID
    var binding: Binding
    var target: ResolvedTarget
    /// Nil where TLS does not end at the edge, and where the host keeps what it has.
    var material: TLSMaterial?
    var secret: ObjectName?
    var problem: String?
}

private struct Planner {
    let input: PlanInput
    private var accepted: [Accepted] = []
    private var exclusions: [Exclusion] = []
    private var mostEndpoints = PlanInput.mostEndpoints

    init(input: PlanInput) { self.input = input }

    mutating func planBindings() {
        let mine = input.portBindings.filter {
            $0.edgeNodeName == input.node.metadata.objectName && $0.metadata.deletionTimestamp == nil
        }
        let byAge = mine.sorted {
            ($0.metadata.creationTimestamp, $0.metadata.objectName) < ($1.metadata.creationTimestamp, $1.metadata.objectName)
        }
        var claims = Claims(
            tunnelPort: input.node.spec.tunnel.listenPort,
            link: input.node.spec.tunnel.takesLinkPort ? (input.node.spec.tunnel.link.listenPort, input.linkHostname) : nil,
            hostnames: byAge.lazy.flatMap(\.spec.bindings).flatMap { $0.tls?.hostnames ?? [] })
        mostEndpoints = input.endpointShare(byAge.lazy.flatMap(\.spec.bindings))
        for portBinding in byAge {
            for binding in portBinding.spec.bindings { accept(binding, of: portBinding, claims: &claims) }
        }
    }

    private mutating func accept(_ binding: Binding, of portBinding: PortBinding, claims: inout Claims) {
        let id = BindingID(owner: portBinding.metadata.objectName, name: binding.name)
        // A port stays taken by a binding whose target is missing: nobody else's traffic may slip in while it is away.
        if let conflict = claims.take(binding, id: id) {
            exclusions.append(conflict)
            return
        }
        let target: ResolvedTarget
        do throws(TargetProblem) {
            target = try input.resolve(binding, of: portBinding.metadata, most: mostEndpoints)
        } catch {
            exclusions.append(Exclusion(binding: id, reason: .targetNotFound, message: error.message))
            return
        }
        let obstacles = target.endpoints.lazy.compactMap { [input] endpoint in
            input.targets.obstacle(
                to: endpoint.address, binding.protocol, endpoint.port, network: input.node.spec.tunnel.network,
                edge: input.node.spec.address.ipv4)
        }
        // Whoever writes EndpointSlices chooses their addresses.
        if let obstacle = obstacles.first {
            exclusions.append(Exclusion(binding: id, reason: .targetRefused, message: "target: \(obstacle)"))
            return
        }
        // What a name leads to is seen when it is looked up, at the uplink.
        if let host = target.host,
            let obstacle = input.targets.obstacle(to: host.host, binding.protocol, host.port, edge: input.node.spec.address)
        {
            exclusions.append(Exclusion(binding: id, reason: .targetRefused, message: "target: \(obstacle)"))
            return
        }
        var entry = Accepted(id: id, binding: binding, target: target)
        if let secret = binding.tls?.mode.secretRef?.objectName(in: portBinding.metadata) {
            entry.secret = secret
            switch certificate(secret, for: binding, of: portBinding.metadata) {
            case .success(let material): entry.material = material
            case .failure(let problem) where mayKeepCertificate(binding, of: portBinding):
                entry.problem = "\(problem.message). Until then the certificate that was applied before stays in force"
            case .failure(let problem):
                exclusions.append(Exclusion(binding: id, reason: .tlsSecretIncomplete, message: problem.message))
                return
            }
        }
        accepted.append(entry)
    }

    /// Whether the host may have a certificate for it: it was in the last plan, and the host did not say otherwise.
    private func mayKeepCertificate(_ binding: Binding, of portBinding: PortBinding) -> Bool {
        let last = portBinding.status?.bindings.first { $0.name == binding.name }
        return last?.target != nil && !input.lostCertificates.contains(binding.name)
    }

    private struct Problem: Error { var message: String }

    private func certificate(
        _ name: ObjectName, for binding: Binding, of owner: ObjectMeta
    ) -> Result<TLSMaterial, Problem> {
        if let refusal = input.refusedReferences[NamedFrom(owner.namespace, Secret.kind, name)] {
            return .failure(Problem(message: "Secret \(name): \(refusal)"))
        }
        switch input.certificates[name] {
        case nil:
            return .failure(Problem(message: "Secret \(name) does not exist; create it or correct tls.secretRef"))
        case .unusable(let reason):
            return .failure(Problem(message: "Secret \(name): \(reason)"))
        case .usable(let material):
            guard let fitted = material.fitted(to: binding.tls?.relayMode) else {
                return .failure(Problem(message: "Secret \(name) has no ca.crt, which tls.mode mutual checks clients against"))
            }
            return .success(fitted)
        }
    }

    // MARK: putting it together

    func plan() -> Plan {
        let spec = input.node.spec
        let network = spec.tunnel.network
        var problems: [String] = []
        var replicas: [UplinkReplica] = []
        let leaving = input.uplinkKeys.keys.filter { $0 >= spec.uplink.replicas }.sorted()
        for ordinal in Array(0..<spec.uplink.replicas) + leaving {
            guard let address = network.host(2 + ordinal) else {
                guard ordinal < spec.uplink.replicas else { break }
                problems.append(
                    "spec.tunnel.network \(network) has room for \(replicas.count) uplinks, but spec.uplink.replicas is "
                        + "\(spec.uplink.replicas); use a larger network or fewer replicas")
                break
            }
            guard let key = input.uplinkKeys[ordinal] else { continue }
            replicas.append(UplinkReplica(ordinal: ordinal, address: address, publicKey: key))
        }
        // Masked networks of at most /30 have a first host; the API allows no smaller one.
        let relayAddress = network.host(1) ?? network.address
        let (planned, unplaced) = placed()

        let envoy = RelayEnvoy(
            release: input.envoyRelease, bridge: spec.edge.bridge, probing: UplinkProbing(spec.edge.healthCheck),
            bindings: planned.map(\.relay), maxConnections: spec.edge.maxConnections,
            drainSeconds: max(1, Int(spec.edge.drainTimeout.nanoseconds / 1_000_000_000)))
        let relay = RelayContent(
            wireGuard: RelayWireGuard(
                listenPort: spec.tunnel.listenPort, address: relayAddress, network: network, mtu: spec.tunnel.mtu,
                peers: replicas.map { RelayPeer(ordinal: $0.ordinal, publicKey: $0.publicKey, address: $0.address) }),
            host: HostTuning(
                kernelMaxSocketBufferBytes: spec.host.kernelMaxSocketBufferBytes, disableNicOffloads: spec.host.disableNicOffloads
            ),
            envoy: envoy, link: input.relayLink(replicas))
        let forwards = planned.compactMap { placed -> Forward? in
            if let host = placed.accepted.target.host {
                return Forward(
                    binding: placed.accepted.id.name, protocol: placed.accepted.binding.protocol, tunnelPort: placed.tunnelPort,
                    host: host.host, port: host.port)
            }
            let endpoints = placed.accepted.target.endpoints
            guard let first = endpoints.first else { return nil }
            return Forward(
                binding: placed.accepted.id.name, protocol: placed.accepted.binding.protocol, tunnelPort: placed.tunnelPort,
                target: first.address, targetPort: first.port, endpoints: endpoints.count > 1 ? endpoints : nil)
        }
        return Plan(
            relay: relay, planned: planned.map(\.planned),
            exclusions: (exclusions + unplaced).sorted { $0.binding < $1.binding }, nodeProblems: problems,
            linkProblem: input.linkProblem,
            uplinkWithoutRelayKey: UplinkContentParts(
                host: spec.address, port: spec.tunnel.listenPort, relayAddress: relayAddress, network: network,
                mtu: spec.tunnel.mtu,
                persistentKeepalive: spec.tunnel.persistentKeepalive, replicas: replicas,
                forwards: forwards.sorted { ($0.protocol, $0.tunnelPort) < ($1.protocol, $1.tunnelPort) },
                link: { [input] pin, hostKey in input.uplinkLink(pin, sshHostKey: hostKey) }, targets: input.targets))
    }

    private struct Placed {
        var accepted: Accepted
        var relay: RelayBinding
        var tunnelPort: Port { relay.tunnelPort }

        init(_ accepted: Accepted, tunnelPort: Port) {
            self.accepted = accepted
            relay = RelayBinding(accepted.binding, tunnelPort: tunnelPort, material: accepted.material)
        }

        var planned: PlannedBinding {
            let binding = accepted.binding
            return PlannedBinding(
                id: accepted.id, listener: EnvoyListener.conventionalName(binding.protocol, binding.listenPort),
                listenPort: binding.listenPort,
                tunnelPort: tunnelPort, targets: accepted.target.endpoints, host: accepted.target.host,
                isSpread: accepted.target.isSpread,
                keySecret: accepted.secret, problem: accepted.problem)
        }
    }

    /// Gives each accepted binding its tunnel port, the older first; the result is in the order of names.
    private func placed() -> ([Placed], [Exclusion]) {
        // With links the tunnel ports are the link program's on the VPS, where Envoy has the listen ports.
        let hasLinks = input.node.spec.tunnel.hasLinks
        let whole = accepted.filter { hasLinks || $0.binding.protocol == .tcp && !$0.binding.sharesPort }
        var ports = TunnelPorts(whole: whole.map(\.binding.listenPort))
        var result: [Placed] = []
        var unplaced: [Exclusion] = []
        for entry in accepted {
            guard let port = hasLinks || entry.binding.sharesPort ? ports.assign(entry.id) : entry.binding.listenPort else {
                unplaced.append(
                    Exclusion(
                        binding: entry.id, reason: .portConflict,
                        message:
                            "more than 40,000 bindings have a port in the tunnel of their own on this EdgeNode; move some to another"
                    ))
                continue
            }
            let placed = Placed(entry, tunnelPort: port)
            if let fault = placed.relay.fault {
                unplaced.append(Exclusion(binding: entry.id, reason: .rejectedByEnvoy, message: fault))
            } else {
                result.append(placed)
            }
        }
        return (result.sorted { $0.accepted.id.name < $1.accepted.id.name }, unplaced)
    }
}

extension Binding {
    /// Whether it takes only some hostnames of its listenPort.
    fileprivate var sharesPort: Bool { !(tls?.hostnames ?? []).isEmpty }
}

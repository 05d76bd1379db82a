import Certificates
import EdgeAPI
import Enrollment
import FoundationEssentials
import NetworkTypes
import NodeDocument
import Planning
import Sodium

// What a plan is made from.
extension EdgeNodeReconciler {
    func planInput(_ node: EdgeNode) async throws(StoreError) -> PlanInput {
        let portBindings = try await store.portBindings(of: node.metadata.objectName)
        try PlanBounds.check(portBindings, of: node)
        let uplinks = try await store.uplinkKeys(of: node)
        var input = PlanInput(
            node: node, portBindings: portBindings, services: [:], certificates: [:],
            uplinkKeys: uplinks.mapValues(\.publicKey), envoyRelease: sessions.envoyRelease)
        input.linkPins = uplinks.mapValues(\.linkPin)
        input.linkSecret = "\(writer.installation) \(node.metadata.objectName)"
        input.sshKeys = uplinks.mapValues(\.sshKey)
        input.linkProgram = sessions.linkProgram
        input.targets = targets
        let now = Date()
        if let secrets = try await linkSecrets(of: node, now: now) {
            (input.linkCertificate, input.linkAuthority) = (secrets.source, secrets.authority)
        }
        var seen: Set<NamedFrom> = []
        for portBinding in portBindings {
            let namespace = portBinding.metadata.namespace
            for binding in portBinding.spec.bindings {
                if case .service(let reference, _, let resolution) = binding.target {
                    let name = reference.objectName(in: portBinding.metadata)
                    let key = NamedFrom(namespace, Service.kind, name)
                    do throws(StoreError) {
                        // Each namespace by itself: what one may use, another may not.
                        if seen.insert(key).inserted, let found = try await service(name, for: portBinding) {
                            input.services[name] = found
                        }
                    } catch  where error.followUp != .retry {
                        input.refusedReferences[key] = error.message
                    }
                    let slices = NamedFrom(namespace, EndpointSlice.kind, name)
                    if resolution == .endpoints, input.services[name] != nil, input.refusedReferences[key] == nil,
                        seen.insert(slices).inserted
                    {
                        do throws(StoreError) {
                            input.slices[name] = try await store.endpointSlices(of: name)
                        } catch  where error.followUp != .retry {
                            input.refusedReferences[slices] = error.message
                        }
                    }
                }
                if let name = binding.tls?.mode.secretRef?.objectName(in: portBinding.metadata) {
                    let key = NamedFrom(namespace, Secret.kind, name)
                    guard seen.insert(key).inserted else { continue }
                    do throws(StoreError) {
                        guard let secret = try await tlsSecret(name, for: portBinding), input.certificates[name] == nil else {
                            continue
                        }
                        input.certificates[name] = readTLSSecret(secret, now: now)
                    } catch  where error.followUp != .retry {
                        input.refusedReferences[key] = error.message
                    }
                }
            }
        }
        return input
    }

    /// What the port of links shows and asks for; nil where that is nothing.
    private func linkSecrets(of node: EdgeNode, now: Date) async throws(StoreError) -> LinkSecrets? {
        let link = node.spec.tunnel.link
        guard let certificate = link.secretRef?.objectName(in: node.metadata) else { return nil }
        do throws(StoreError) {
            let secret = try await self.secret(certificate, of: node)
            guard let clients = link.clientCASecretRef?.objectName(in: node.metadata) else {
                return readLinkSecrets((certificate, secret), clients: nil, now: now)
            }
            return readLinkSecrets((certificate, secret), clients: (clients, try await self.secret(clients, of: node)), now: now)
        } catch  where error.followUp != .retry {
            return LinkSecrets(source: .unusable(error.message))
        }
    }

    private func service(_ name: ObjectName, for portBinding: PortBinding) async throws(StoreError) -> Service? {
        let reference = CrossReference(
            kind: PortBinding.kind, namespace: portBinding.metadata.namespace, targetKind: Service.kind, target: name)
        return try await referred(reference, metadata: \.metadata) { name throws(StoreError) in try await store.service(name) }
    }

    private func tlsSecret(_ name: ObjectName, for portBinding: PortBinding) async throws(StoreError) -> Secret? {
        let reference = CrossReference(
            kind: PortBinding.kind, namespace: portBinding.metadata.namespace, targetKind: Secret.kind, target: name)
        return try await referred(reference, metadata: \.metadata) { name throws(StoreError) in try await store.secret(name) }
    }
}

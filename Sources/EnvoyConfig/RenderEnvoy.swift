import EdgeAPI
import NetworkTypes
public import NodeDocument

/// Writes Envoy's whole configuration. Equal input gives equal bytes, whatever the order of its bindings and uplinks.
public func renderEnvoy(_ input: EnvoyInput) -> EnvoyDocument {
    let bindings = input.bindings.sorted { ($0.listenPort, $0.protocol, $0.name) < ($1.listenPort, $1.protocol, $1.name) }
    let byName = bindings.sorted { $0.name < $1.name }
    let uplinks = input.uplinks.sorted { $0.ordinal < $1.ordinal }
    let secrets = byName.flatMap(tlsSecrets)
    let kept = byName.flatMap(keptSecrets)
    var tlsFiles: [String: TLSFile] = [:]
    for secret in secrets { for file in secret.files { tlsFiles[file.name] = file } }
    return EnvoyDocument(
        release: input.release,
        bootstrap: renderBootstrap().text,
        listeners: renderListeners(bindings, input),
        clusters: byName.map {
            EnvoyResource(name: $0.name, json: renderCluster($0).text)
        },
        probes: renderProbes(byName, uplinks: uplinks, check: input.edge.healthCheck),
        secrets: secrets.map { EnvoyResource(name: $0.name, json: $0.resource.text) },
        tlsFiles: tlsFiles.values.sorted { $0.name < $1.name },
        keptSecrets: kept.isEmpty ? nil : kept,
        maxConnections: input.edge.maxConnections,
        drainSeconds: max(1, Int(input.edge.drainTimeout.nanoseconds / 1_000_000_000)))
}

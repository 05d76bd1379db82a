public import JSON
public import NodeDocument

extension EnvoyConfiguration {
    /// A bootstrap for `envoy --mode validate`, which asks for neither listeners nor clusters, and does not read the certificates that a secret's
    /// file names: they all stand in it. To be written beside the other files, and removed after.
    /// - Parameter listeners: whose listeners to check; with fewer at a time, Envoy's refusal tells which one is bad.
    /// - Parameter bindings: whose clusters to check, and whose secrets to load: Envoy refuses a key that does not fit its certificate.
    public func validationBootstrap(
        on host: EnvoyHost, listeners: some Collection<EnvoyListener>, bindings: some Collection<RelayBinding>
    ) -> FieldValue {
        let secrets = bindings.flatMap(secrets)
        return [
            // Envoy looks whether there is such a source; it does not ask it.
            "dynamic_resources": [
                "ads_config": [
                    "api_type": "GRPC", "grpc_services": [["envoy_grpc": ["cluster_name": .string(EnvoyPath.discoveryCluster)]]],
                    "transport_api_version": "V3",
                ]
            ],
            "node": ["cluster": "tidegate", "id": "validation"],
            "overload_manager": overloadManager(on: host),
            "static_resources": [
                "clusters": .array(bindings.map { cluster($0) } + linkClusters + secrets.map(secretCheck) + [discoveryStub]),
                "listeners": .array(listeners.map { resource($0, on: host) }),
                "secrets": .array(secrets.map(\.resource)),
            ],
        ]
    }
}

/// The cluster that the source of endpoints names, in the least form that Envoy takes.
private let discoveryStub: FieldValue = [
    "connect_timeout": "1s", "name": .string(EnvoyPath.discoveryCluster), "type": "STATIC",
    "typed_extension_protocol_options": [
        "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": .typed(
            "extensions.upstreams.http.v3.HttpProtocolOptions", ["explicit_http_config": ["http2_protocol_options": [:]]])
    ],
]

/// A cluster for the sake of its TLS context, which loads the secret. It is a client's, which demands neither certificate nor CA.
private func secretCheck(_ secret: TLSSecret) -> FieldValue {
    let reference: FieldValue = ["name": .string(secret.name)]
    let use: FieldValue =
        secret.isAuthority
        ? ["validation_context_sds_secret_config": reference] : ["tls_certificate_sds_secret_configs": [reference]]
    return [
        "connect_timeout": "1s", "name": .string("check.\(secret.name)"),
        "transport_socket": .extended(
            "envoy.transport_sockets.tls", "extensions.transport_sockets.tls.v3.UpstreamTlsContext", ["common_tls_context": use]),
        "type": "STATIC",
    ]
}

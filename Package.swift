// swift-tools-version: 6.2
import PackageDescription

// The order of the targets is the module map: imports point to what stands above. `make lint` checks it.

/// Whether `make fuzz` builds, in a folder of its own.
let isFuzzing = Context.environment["TIDEGATE_FUZZ"] != nil
let fuzzer = ["-sanitize=fuzzer,address"]

let strict: [SwiftSetting] =
    [
        .enableUpcomingFeature("ExistentialAny"),
        .enableUpcomingFeature("InternalImportsByDefault"),
        .enableUpcomingFeature("MemberImportVisibility"),
        .treatAllWarnings(as: .error),
    ] + (isFuzzing ? [.unsafeFlags(fuzzer + ["-enable-testing"])] : [])

/// A library of ours by its folder below `Sources`, whose last part is its name.
func module(_ folder: String, _ dependencies: [Target.Dependency] = []) -> Target {
    let name = folder.split(separator: "/").last.map(String.init) ?? folder
    return .target(name: name, dependencies: dependencies, path: "Sources/\(folder)", swiftSettings: strict)
}

func program(_ name: String, path: String, exclude: [String] = [], _ dependencies: [Target.Dependency]) -> Target {
    .executableTarget(name: name, dependencies: dependencies, path: path, exclude: exclude, swiftSettings: strict)
}

/// What several test targets share.
func support(_ name: String, _ dependencies: [Target.Dependency]) -> Target {
    .target(name: name, dependencies: dependencies, path: "Tests/\(name)", swiftSettings: strict)
}

func tests(_ name: String, _ dependencies: [Target.Dependency], exclude: [String] = []) -> Target {
    .testTarget(name: name, dependencies: dependencies, exclude: exclude, swiftSettings: strict)
}

func inCluster(_ name: String) -> Target.Dependency { .target(name: name, condition: .when(traits: ["Kubernetes"])) }

let argumentParser: Target.Dependency = .product(name: "ArgumentParser", package: "swift-argument-parser")
let crypto: Target.Dependency = .product(name: "Crypto", package: "swift-crypto")
let cryptoExtras: Target.Dependency = .product(name: "CryptoExtras", package: "swift-crypto")
let swiftASN1: Target.Dependency = .product(name: "SwiftASN1", package: "swift-asn1")
let x509: Target.Dependency = .product(name: "X509", package: "swift-certificates")
let logging: Target.Dependency = .product(name: "Logging", package: "swift-log")
let unixSignals: Target.Dependency = .product(name: "UnixSignals", package: "swift-service-lifecycle")
let asyncHTTPClient: Target.Dependency = .product(name: "AsyncHTTPClient", package: "async-http-client")
let nioCore: Target.Dependency = .product(name: "NIOCore", package: "swift-nio")
let nioPosix: Target.Dependency = .product(name: "NIOPosix", package: "swift-nio")
let nioHTTP1: Target.Dependency = .product(name: "NIOHTTP1", package: "swift-nio")
let nioTLS: Target.Dependency = .product(name: "NIOTLS", package: "swift-nio")
let nioWebSocket: Target.Dependency = .product(name: "NIOWebSocket", package: "swift-nio")
let nioSSL: Target.Dependency = .product(name: "NIOSSL", package: "swift-nio-ssl")
let heap: Target.Dependency = .product(name: "HeapModule", package: "swift-collections")
let serviceLifecycle: Target.Dependency = .product(name: "ServiceLifecycle", package: "swift-service-lifecycle")

let package = Package(
    name: "tidegate",
    traits: [
        .default(enabledTraits: ["Kubernetes"]),
        .trait(
            name: "Kubernetes",
            description: "The command `controller`. Whoever runs without a cluster, as the demo does, saves its libraries."),
    ],
    dependencies: [
        .package(url: "https://github.com/apple/swift-argument-parser", from: "1.8.2"),
        .package(url: "https://github.com/apple/swift-asn1", from: "1.7.4"),
        .package(url: "https://github.com/apple/swift-certificates", from: "1.21.1"),
        .package(url: "https://github.com/apple/swift-collections", from: "1.6.0"),
        .package(url: "https://github.com/apple/swift-crypto", from: "4.5.2"),
        .package(url: "https://github.com/apple/swift-log", from: "1.16.2"),
        .package(url: "https://github.com/apple/swift-nio", from: "2.101.2"),
        .package(url: "https://github.com/apple/swift-nio-extras", from: "1.35.2"),
        .package(url: "https://github.com/apple/swift-nio-http2", from: "1.46.0"),
        .package(url: "https://github.com/apple/swift-nio-ssl", from: "2.37.6"),
        .package(url: "https://github.com/swift-server/async-http-client", from: "1.37.0"),
        .package(url: "https://github.com/swift-server/swift-service-lifecycle", from: "2.13.0"),
    ],
    targets: [
        // ground
        .systemLibrary(
            name: "CLibssh2", path: "Sources/ground/CLibssh2", pkgConfig: "libssh2",
            providers: [.apt(["libssh2-1-dev", "libssl-dev"])]),
        .systemLibrary(name: "CLibmnl", path: "Sources/ground/CLibmnl", pkgConfig: "libmnl", providers: [.apt(["libmnl-dev"])]),
        .systemLibrary(
            name: "CLibsodium", path: "Sources/ground/CLibsodium", pkgConfig: "libsodium", providers: [.apt(["libsodium-dev"])]),
        .systemLibrary(
            name: "CLibyaml", path: "Sources/ground/CLibyaml", pkgConfig: "yaml-0.1", providers: [.apt(["libyaml-dev"])]),
        .systemLibrary(name: "CZlib", path: "Sources/ground/CZlib", pkgConfig: "zlib", providers: [.apt(["zlib1g-dev"])]),
        .systemLibrary(name: "CLinuxHeaders", path: "Sources/ground/CLinuxHeaders", providers: [.apt(["linux-libc-dev"])]),
        module("ground/Timing"),
        module("ground/NetworkTypes", ["CLinuxHeaders"]),
        module("ground/Syscalls", ["CLinuxHeaders", "NetworkTypes"]),
        module("ground/Sodium", ["CLibsodium", "NetworkTypes"]),
        module("ground/PrometheusMetrics", ["Syscalls"]),
        module("ground/JSON", ["NetworkTypes"]),
        module("ground/Documents", ["JSON", "NetworkTypes"]),
        module("ground/StructuredLogging", ["JSON", logging]),
        module("ground/NetlinkMessages", ["CLinuxHeaders", "NetworkTypes", "Sodium"]),
        module("ground/YAML", ["CLibyaml", "Documents", "JSON"]),

        // contracts
        module("contracts/EdgeAPI", ["Documents", "JSON", "NetworkTypes", "Sodium"]),
        module("contracts/KubernetesAPI", ["Documents", "EdgeAPI", "JSON", "NetworkTypes", "Timing"]),
        module("contracts/NodeDocument", ["NetworkTypes", "Sodium"]),
        module("contracts/RemoteDocuments", ["NetworkTypes", "NodeDocument", "Sodium"]),
        module("contracts/LinkProtocol", ["NetworkTypes"]),
        module("contracts/TunnelProtocols", ["Documents", "NetworkTypes", "Sodium"]),
        module("contracts/WebSocketFrames"),

        // shells
        module("shells/FileWatching", ["Syscalls"]),
        module("shells/Informers", ["Documents", "EdgeAPI", "KubernetesAPI", "Timing", logging, serviceLifecycle]),
        module("shells/LeaseElection", ["Documents", "EdgeAPI", "JSON", "KubernetesAPI", "Timing", logging, serviceLifecycle]),
        module("shells/EventRecording", ["Documents", "EdgeAPI", "JSON", "KubernetesAPI", "Timing", logging, serviceLifecycle]),
        module("shells/ManifestStore", ["Documents", "EdgeAPI", "JSON", "NetworkTypes", "Sodium", "Syscalls", "YAML"]),
        module(
            "shells/KubernetesClient",
            [
                "Documents", "EdgeAPI", "JSON", "KubernetesAPI", "NetworkTypes", "Sodium", "Syscalls", "Timing", "YAML",
                logging, nioCore, nioPosix, nioSSL,
                asyncHTTPClient,
                nioHTTP1,
                .product(name: "NIOHTTPCompression", package: "swift-nio-extras"),
            ]),
        module(
            "shells/LinkCarriers",
            [
                "LinkProtocol", "NetworkTypes", "Sodium", "WebSocketFrames", nioCore, nioHTTP1, nioPosix, nioSSL, nioTLS,
                nioWebSocket,
            ]),
        module("shells/LinkStreams", ["LinkProtocol", "NetworkTypes", nioCore, nioPosix]),
        module("shells/HTTPServing", ["NetworkTypes", nioCore, nioHTTP1, nioPosix]),
        module(
            "shells/HealthAndMetrics",
            [
                "FileWatching", "HTTPServing", "PrometheusMetrics", "Syscalls", "Timing", crypto, logging, nioCore, nioHTTP1,
                nioPosix, nioSSL, nioTLS, serviceLifecycle, swiftASN1, x509,
                .product(name: "NIOHTTP2", package: "swift-nio-http2"),
            ]),
        module("shells/Netlink", ["CLibmnl", "CLinuxHeaders", "NetlinkMessages", "Sodium", "Syscalls"]),
        module("shells/SSH", ["CLibssh2", "NetworkTypes", "Sodium", "Syscalls"]),
        module("shells/QuietMemory", ["CLinuxHeaders", logging, serviceLifecycle]),
        module("shells/LinkSSH", ["LinkCarriers", "LinkStreams", "SSH", nioCore]),

        // kernel words
        module("kernel/NFTables", ["CLinuxHeaders", "NetlinkMessages", "NetworkTypes"]),
        module("kernel/HostFirewall", ["CLinuxHeaders", "NFTables", "NetlinkMessages", "NetworkTypes"]),
        module("kernel/RouteNetlink", ["CLinuxHeaders", "NetlinkMessages", "NetworkTypes"]),
        module("kernel/WireGuardNetlink", ["CLibsodium", "CLinuxHeaders", "NetlinkMessages", "NetworkTypes", "Sodium"]),

        // decisions
        module("decisions/EnvoyConfig", ["JSON", "NetworkTypes", "NodeDocument", "Sodium"]),
        module("decisions/Planning", ["EdgeAPI", "NetworkTypes", "NodeDocument", "Sodium"]),
        module(
            "decisions/Certificates",
            [
                "EdgeAPI", "NetworkTypes", "NodeDocument", "Sodium",
                crypto, cryptoExtras, swiftASN1, x509,
            ]),
        module(
            "decisions/RemoteWorkload",
            ["Documents", "EdgeAPI", "JSON", "KubernetesAPI", "NetworkTypes", "NodeDocument", "RemoteDocuments", "Sodium"]),
        module(
            "decisions/UplinkWorkload",
            ["Documents", "EdgeAPI", "JSON", "KubernetesAPI", "NetworkTypes", "NodeDocument", "Sodium"]),

        // orchestration
        module(
            "orchestration/HostNetwork",
            [
                "CLinuxHeaders", "HostFirewall", "NFTables", "Netlink", "NetlinkMessages", "NetworkTypes", "RouteNetlink",
                "Sodium", "Syscalls", "WireGuardNetlink",
            ]),
        module(
            "orchestration/LinkRelay",
            [
                "FileWatching", "LinkCarriers", "LinkProtocol", "LinkStreams", "NetworkTypes", "Sodium", "Syscalls", logging,
                nioCore,
                nioPosix, nioSSL,
            ]),
        module(
            "orchestration/LinkUplink",
            ["LinkCarriers", "LinkProtocol", "LinkStreams", "NetworkTypes", "Sodium", logging, nioCore]),
        module(
            "orchestration/Gateway",
            [
                "FileWatching", "HTTPServing", "HostNetwork", "LinkCarriers", "LinkRelay", "LinkStreams", "Mesh", "NetworkTypes",
                "NodeDocument", "PrometheusMetrics", "RemoteDocuments", "Sodium", "Syscalls", "TunnelProtocols",
                "WebSocketFrames", logging, nioCore, nioHTTP1, nioPosix, serviceLifecycle,
            ]),
        module(
            "orchestration/RemoteClient",
            [
                "HostNetwork", "LinkCarriers", "LinkProtocol", "LinkStreams", "LinkUplink", "Mesh", "NetworkTypes",
                "NodeDocument", "RemoteDocuments", "Sodium", "Syscalls", "Timing", logging, nioCore, nioPosix, serviceLifecycle,
            ]),
        module(
            "orchestration/Mesh",
            [
                "CLinuxHeaders", "HostNetwork", "NFTables", "NetlinkMessages", "NetworkTypes", "RemoteDocuments", "Sodium",
                "Syscalls", "Timing", "WireGuardNetlink", logging, nioPosix,
            ]),
        module(
            "orchestration/UplinkAgent",
            [
                "CLinuxHeaders", "FileWatching", "HTTPServing", "HostNetwork", "LinkCarriers", "LinkProtocol", "LinkSSH",
                "LinkStreams", "LinkUplink", "NFTables", "NetlinkMessages", "NetworkTypes", "NodeDocument", "PrometheusMetrics",
                "QuietMemory", "Sodium", "Syscalls", "WireGuardNetlink", logging, nioCore, nioHTTP1, nioPosix, serviceLifecycle,
                unixSignals, heap,
            ]),
        module(
            "orchestration/NodeAgent",
            [
                "CLinuxHeaders", "EnvoyConfig", "HostFirewall", "HostNetwork", "JSON", "NetlinkMessages", "NetworkTypes",
                "NFTables",
                "NodeDocument", "RouteNetlink", "Sodium", "Syscalls", "WireGuardNetlink",
                logging,
            ]),
        module(
            "orchestration/Enrollment",
            ["CZlib", "EdgeAPI", "NetworkTypes", "NodeDocument", "SSH", "Sodium", "Syscalls", logging]),
        module(
            "orchestration/Reconcilers",
            [
                "Certificates", "EdgeAPI", "Enrollment", "NetworkTypes", "NodeDocument", "Planning", "SSH", "Sodium", "Timing",
                heap, logging,
            ]),
        module(
            "orchestration/Standalone",
            [
                "Documents", "EdgeAPI", "Enrollment", "FileWatching", "ManifestStore", "NetworkTypes", "NodeDocument",
                "Reconcilers", "Sodium",
                "Syscalls", logging, serviceLifecycle,
            ]),

        module("orchestration/SSHTunnel", ["NetworkTypes", "SSH", "Syscalls", "Timing", logging, serviceLifecycle]),
        module(
            "orchestration/Controller",
            [
                "Certificates", "Documents", "EdgeAPI", "Enrollment", "EventRecording", "HealthAndMetrics", "Informers", "JSON",
                "KubernetesAPI", "LeaseElection", "NetworkTypes", "NodeDocument", "Planning", "PrometheusMetrics", "Reconcilers",
                "RemoteDocuments", "RemoteWorkload", "SSH", "Sodium", "UplinkWorkload",
                asyncHTTPClient, logging, nioCore, nioHTTP1, nioPosix, serviceLifecycle,
            ]),

        // executables
        program(
            "tidegate", path: "Sources/programs/Tidegate",
            [
                "Certificates", "CLinuxHeaders", inCluster("Controller"), "Documents", "EdgeAPI", "Enrollment", "EnvoyConfig",
                inCluster("HealthAndMetrics"), "JSON", inCluster("KubernetesAPI"), inCluster("KubernetesClient"), "ManifestStore",
                "NetworkTypes", "NodeDocument",
                "Planning", inCluster("PrometheusMetrics"), inCluster("QuietMemory"), "Reconcilers", inCluster("SSH"),
                inCluster("SSHTunnel"), "Sodium", "Standalone", "StructuredLogging", "Syscalls", inCluster("UplinkWorkload"),
                argumentParser, logging, serviceLifecycle,
                unixSignals,
            ]),
        program("edge-agent", path: "edge-agent", ["NodeAgent", "NodeDocument", "StructuredLogging", logging]),
        program(
            "edge-link", path: "Sources/programs/EdgeLink",
            ["CLinuxHeaders", "LinkRelay", "Sodium", "StructuredLogging", "Syscalls", logging, unixSignals]),
        program(
            "uplink", path: "uplink",
            [
                "CLinuxHeaders", "Gateway", "HostNetwork", "LinkCarriers", "LinkProtocol", "Mesh", "NetworkTypes", "NodeDocument",
                "QuietMemory",
                "RemoteClient", "RemoteDocuments", "Sodium", "StructuredLogging", "Syscalls", "UplinkAgent", argumentParser,
                logging,
                serviceLifecycle, unixSignals,
            ]),

        // tests that need nothing
        support("Fixtures", ["EdgeAPI", "NetworkTypes", "NodeDocument", "Planning", "Sodium"]),
        support("TestFiles", []),
        support("TestPrograms", ["Syscalls"]),
        support(
            "TestLinks",
            [
                "LinkCarriers", "LinkProtocol", "LinkRelay", "LinkStreams", "LinkUplink", "NetworkTypes", "Sodium", logging,
                nioCore,
                nioPosix,
            ]),
        support("TestCertificates", ["EdgeAPI", "Sodium", crypto, swiftASN1, x509]),
        tests("DocumentsTests", ["Documents", "JSON"]),
        tests("YAMLTests", ["Documents", "JSON", "YAML"]),
        tests("CasesTests", ["TestFiles", "TestPrograms", "tidegate"], exclude: ["Corpus"]),
        tests(
            "CRDTests", ["Documents", "EdgeAPI", "Fixtures", "JSON", "ManifestStore", "NetworkTypes", "Planning", "YAML"],
            exclude: ["Corpus"]),
        tests(
            "CertificatesTests",
            [
                "Certificates", "EdgeAPI", "Fixtures", "NodeDocument", "Sodium", "TestCertificates", "TestPrograms", crypto,
                cryptoExtras, x509,
            ]),
        tests(
            "ControllerTests",
            [
                "Controller", "Documents", "EdgeAPI", "Enrollment", "Fixtures", "JSON", "KubernetesAPI",
                "NetworkTypes", "NodeDocument", "Planning", "PrometheusMetrics", "Reconcilers", "RemoteDocuments", "Sodium",
                "UplinkWorkload",
                logging, nioCore, nioPosix,
            ]),
        tests("EdgeAPITests", ["Documents", "EdgeAPI", "JSON", "NetworkTypes", "Sodium"], exclude: ["Corpus"]),
        tests(
            "EnrollmentTests",
            [
                "EdgeAPI", "Enrollment", "Fixtures", "NetworkTypes", "NodeDocument", "SSH", "Sodium", "TestFiles", "TestPrograms",
                logging,
            ]),
        tests(
            "EnvoyConfigTests", ["EnvoyConfig", "Fixtures", "JSON", "NetworkTypes", "NodeDocument", "Sodium"],
            exclude: ["Goldens"]),
        tests("FileWatchingTests", ["FileWatching", "TestFiles"]),
        tests(
            "InformersTests",
            [
                "Documents", "EdgeAPI", "EventRecording", "Informers", "JSON", "KubernetesAPI", "LeaseElection", "Timing",
                logging,
                serviceLifecycle,
            ]),
        tests("HostFirewallTests", ["CLinuxHeaders", "HostFirewall", "NFTables", "NetworkTypes"]),
        tests("HostNetworkTests", ["HostNetwork", "NetworkTypes", "TestFiles"]),
        tests("KubernetesAPITests", ["Documents", "EdgeAPI", "JSON", "KubernetesAPI"], exclude: ["Recorded"]),
        tests(
            "KubernetesClientTests",
            [
                "CLinuxHeaders", "Documents", "EdgeAPI", "JSON", "KubernetesAPI", "KubernetesClient", "Sodium", "TestFiles",
                logging,
            ],
            exclude: ["Server"]
        ),
        tests("LinkProtocolTests", ["LinkProtocol", "NetworkTypes"]),
        tests(
            "LinkRelayTests",
            [
                "LinkCarriers", "LinkProtocol", "LinkRelay", "LinkStreams", "LinkUplink", "NetworkTypes", "NodeDocument",
                "Sodium", "TestFiles", "TestLinks", nioCore,
            ]),
        tests(
            "ManifestStoreTests",
            ["Documents", "EdgeAPI", "JSON", "ManifestStore", "NetworkTypes", "Sodium", "TestFiles", "YAML"],
            exclude: ["Corpus"]),
        tests("NFTablesTests", ["CLinuxHeaders", "NFTables", "NetlinkMessages", "NetworkTypes"]),
        tests("NetlinkMessagesTests", ["CLinuxHeaders", "NetlinkMessages", "NetworkTypes", "Sodium"]),
        tests("NetworkTypesTests", ["Fixtures", "NetworkTypes"]),
        tests(
            "NodeAgentTests",
            [
                "CLinuxHeaders", "EnvoyConfig", "Fixtures", "HostNetwork", "JSON", "NetworkTypes", "NodeAgent",
                "NodeDocument", "RouteNetlink",
                "Sodium", "Syscalls", "TestFiles", "WireGuardNetlink", logging,
            ]),
        tests("NodeDocumentTests", ["Fixtures", "NetworkTypes", "NodeDocument", "Sodium"]),
        tests("PlanningTests", ["EdgeAPI", "Fixtures", "NetworkTypes", "NodeDocument", "Planning", "Sodium"]),
        tests(
            "ReconcilersTests",
            [
                "EdgeAPI", "Enrollment", "Fixtures", "NetworkTypes", "NodeDocument", "Planning", "Reconcilers",
                "SSH", "Sodium", "TestCertificates", logging,
            ]),
        tests("PrometheusMetricsTests", ["PrometheusMetrics", "TestPrograms"]),
        tests(
            "RemoteWorkloadTests",
            [
                "Documents", "EdgeAPI", "JSON", "KubernetesAPI", "NetworkTypes", "NodeDocument", "RemoteDocuments",
                "RemoteWorkload", "Sodium",
            ],
            exclude: ["Goldens"]),
        tests("RouteNetlinkTests", ["NetlinkMessages", "NetworkTypes", "RouteNetlink"]),
        tests("SSHTests", ["CLibssh2", "NetworkTypes", "SSH", "Sodium", "TestPrograms"]),
        tests("QuietMemoryTests", ["CLinuxHeaders", "QuietMemory"]),
        tests("SSHTunnelTests", ["SSHTunnel", "Syscalls", "TestFiles"]),
        tests(
            "HealthAndMetricsTests",
            [
                "HTTPServing", "HealthAndMetrics", "PrometheusMetrics", "TestPrograms", crypto, logging, nioCore, nioHTTP1,
                nioPosix,
                nioSSL, serviceLifecycle, swiftASN1, x509,
                .product(name: "ServiceLifecycleTestKit", package: "swift-service-lifecycle"),
            ]),
        tests("SodiumTests", ["NetworkTypes", "Sodium"]),
        tests(
            "StandaloneTests",
            ["EdgeAPI", "Enrollment", "ManifestStore", "Reconcilers", "Sodium", "Standalone", "TestFiles", logging]),
        tests("StructuredLoggingTests", ["StructuredLogging", logging]),
        tests("SyscallsTests", ["NetworkTypes", "Syscalls", "TestFiles"]),
        tests("WireGuardNetlinkTests", ["NetlinkMessages", "NetworkTypes", "Sodium", "WireGuardNetlink"]),

        tests("HTTPServingTests", ["HTTPServing", "NetworkTypes", nioCore, nioHTTP1, nioPosix]),
        tests("TunnelProtocolsTests", ["NetworkTypes", "TunnelProtocols"]),
        tests("WebSocketFramesTests", ["WebSocketFrames"]),
        tests(
            "UplinkAgentTests",
            [
                "HTTPServing", "HostNetwork", "LinkCarriers", "LinkProtocol", "LinkUplink", "NFTables", "NetlinkMessages",
                "NetworkTypes",
                "NodeDocument", "Sodium", "Syscalls", "TestFiles", "UplinkAgent", "UplinkWorkload", "WireGuardNetlink",
                logging, nioCore, nioHTTP1, nioPosix,
            ]),
        tests(
            "UplinkWorkloadTests",
            ["Documents", "EdgeAPI", "JSON", "KubernetesAPI", "NetworkTypes", "Sodium", "UplinkWorkload", "YAML"],
            exclude: ["Goldens"]),

        // tests that need root: each in namespaces of its own
        support("TestNetwork", ["CLinuxHeaders", "TestPrograms"]),
        tests("EnrollmentKernelTests", ["Enrollment", "Sodium", "TestNetwork"]),
        tests(
            "EnvoyConfigKernelTests",
            [
                "Documents", "EdgeAPI", "EnvoyConfig", "Fixtures", "JSON", "NetworkTypes", "NodeAgent", "NodeDocument",
                "Planning", "TestPrograms", "edge-agent",
            ],
            exclude: ["Driver"]),
        tests(
            "HostNetworkKernelTests",
            [
                "HostNetwork", "Netlink", "NetlinkMessages", "NetworkTypes", "RouteNetlink", "Sodium",
                "TestNetwork",
                "WireGuardNetlink",
            ]),
        tests(
            "LinkRelayKernelTests",
            [
                "LinkCarriers", "LinkProtocol", "LinkRelay", "LinkStreams", "LinkUplink", "NetworkTypes", "TestLinks", nioCore,
                nioPosix,
            ], exclude: ["Peers"]),
        tests(
            "LinkSSHKernelTests",
            [
                "LinkCarriers", "LinkRelay", "LinkSSH", "LinkUplink", "NetworkTypes", "NodeAgent", "NodeDocument", "Sodium",
                "Syscalls",
                "TestFiles",
                "TestLinks",
            ]),
        tests("HostFirewallKernelTests", ["HostFirewall", "HostNetwork", "NetworkTypes", "TestNetwork"]),
        tests("NFTablesKernelTests", ["HostNetwork", "NFTables", "NetworkTypes", "TestNetwork"]),
        tests(
            "NodeAgentKernelTests",
            [
                "Certificates", "EdgeAPI", "EnvoyConfig", "Fixtures", "HostNetwork", "NetworkTypes", "NodeAgent", "NodeDocument",
                "Planning", "RouteNetlink", "Sodium", "TestCertificates", "TestNetwork", "TestPrograms", "WireGuardNetlink",
                "edge-agent",
                crypto, logging, x509,
            ]),
        tests("NetlinkKernelTests", ["Netlink", "NetlinkMessages", "RouteNetlink", "TestNetwork"]),
        tests(
            "UplinkAgentKernelTests",
            [
                "Documents", "EdgeAPI", "JSON", "KubernetesAPI", "LinkRelay", "NetworkTypes", "NodeDocument", "Sodium",
                "Syscalls", "TestLinks", "TestNetwork", "TestPrograms", "UplinkAgent", "UplinkWorkload", "uplink", logging,
                nioCore, nioPosix,
            ], exclude: ["Proxy"]),
        tests("SSHKernelTests", ["NetworkTypes", "SSH", "Sodium", "Syscalls"]),

        // benchmarks
        program("nat-benchmark", path: "Tests/NATBenchmark", exclude: ["run"], ["HostNetwork", "NFTables", "NetworkTypes"]),
        program(
            "link-bench", path: "Tests/Benchmarks/link-bench",
            [
                "LinkCarriers", "LinkProtocol", "LinkRelay", "LinkStreams", "LinkUplink", "NetworkTypes", "Sodium", logging,
                nioCore,
                nioPosix,
            ]),
        program(
            "tidegate-bench", path: "Tests/Benchmarks/tidegate-bench",
            ["EdgeAPI", "Fixtures", "NetworkTypes", "NodeDocument", "Planning"]),
    ],
    swiftLanguageModes: [.v6]
)

if isFuzzing {
    package.targets += [
        .systemLibrary(name: "CLibFuzzer", path: "Tests/Fuzz/CLibFuzzer"),
        .executableTarget(
            name: "fuzz",
            dependencies: [
                "CLibFuzzer", "CLinuxHeaders", "Certificates", "Documents", "EdgeAPI", "Enrollment", "EnvoyConfig", "Fixtures",
                "HostFirewall",
                "HostNetwork", "LeaseElection",
                "KubernetesAPI", "KubernetesClient", "LinkProtocol", "ManifestStore", "NFTables", "NetlinkMessages",
                "NetworkTypes",
                "NodeAgent", "NodeDocument", "Planning", "Reconcilers", "RemoteDocuments", "RouteNetlink", "SSH", "Sodium",
                "TunnelProtocols", "UplinkAgent", "WebSocketFrames", "WireGuardNetlink", "YAML", logging,
            ],
            path: "Tests/Fuzz/Targets", swiftSettings: strict, linkerSettings: [.unsafeFlags(fuzzer + ["-use-ld=lld"])]),
    ]
}

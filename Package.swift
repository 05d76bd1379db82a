// swift-tools-version: 6.2
import PackageDescription

let strict: [SwiftSetting] = [
    .enableUpcomingFeature("ExistentialAny"),
    .enableUpcomingFeature("MemberImportVisibility"),
    .treatAllWarnings(as: .error),
]

let package = Package(
    name: "tidegate",
    dependencies: [
        .package(url: "https://github.com/apple/swift-log", from: "1.16.2"),
        .package(url: "https://github.com/apple/swift-certificates", from: "1.21.1"),
        .package(url: "https://github.com/apple/swift-asn1", from: "1.7.4"),
        .package(url: "https://github.com/apple/swift-crypto", from: "4.5.2"),
    ],
    targets: [
        // ground
        .systemLibrary(name: "CLibssh2", pkgConfig: "libssh2", providers: [.apt(["libssh2-1-dev", "libssl-dev"])]),
        .systemLibrary(name: "CLibmnl", pkgConfig: "libmnl", providers: [.apt(["libmnl-dev"])]),
        .systemLibrary(name: "CLibsodium", pkgConfig: "libsodium", providers: [.apt(["libsodium-dev"])]),
        .target(name: "NetworkTypes", swiftSettings: strict),
        .target(name: "Sodium", dependencies: ["CLibsodium", "NetworkTypes"], swiftSettings: strict),
        .target(name: "StructuredLogging", dependencies: [.product(name: "Logging", package: "swift-log")], swiftSettings: strict),

        // contracts
        .target(name: "EdgeAPI", dependencies: ["NetworkTypes", "Sodium"], swiftSettings: strict),
        .target(name: "NodeDocument", dependencies: ["NetworkTypes", "Sodium"], swiftSettings: strict),

        // shells
        .target(name: "SSH", dependencies: ["CLibssh2", "NetworkTypes", "Sodium"], swiftSettings: strict),

        // decisions
        .target(
            name: "EnvoyConfig", dependencies: ["EdgeAPI", "NetworkTypes", "NodeDocument", "Sodium"], swiftSettings: strict),
        .target(
            name: "Planning", dependencies: ["EdgeAPI", "EnvoyConfig", "NetworkTypes", "NodeDocument"], swiftSettings: strict),
        .target(
            name: "Certificates",
            dependencies: [
                "EdgeAPI", "EnvoyConfig", "Planning", "Sodium",
                .product(name: "X509", package: "swift-certificates"),
                .product(name: "SwiftASN1", package: "swift-asn1"),
                .product(name: "Crypto", package: "swift-crypto"),
                .product(name: "CryptoExtras", package: "swift-crypto"),
            ], swiftSettings: strict),

        // orchestration
        .target(
            name: "Enrollment",
            dependencies: [
                "EdgeAPI", "NetworkTypes", "NodeDocument", "SSH", "Sodium",
                .product(name: "Logging", package: "swift-log"),
            ], swiftSettings: strict),
        .target(
            name: "Reconcilers",
            dependencies: [
                "Certificates", "EdgeAPI", "Enrollment", "NetworkTypes", "NodeDocument", "Planning", "Sodium",
                .product(name: "Logging", package: "swift-log"),
            ], swiftSettings: strict),
    ],
    swiftLanguageModes: [.v6]
)

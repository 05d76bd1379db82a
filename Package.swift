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
    ],
    targets: [
        // ground
        .systemLibrary(name: "CLibssh2", pkgConfig: "libssh2", providers: [.apt(["libssh2-1-dev"])]),
        .systemLibrary(name: "CLibmnl", pkgConfig: "libmnl", providers: [.apt(["libmnl-dev"])]),
        .systemLibrary(name: "CLibsodium", pkgConfig: "libsodium", providers: [.apt(["libsodium-dev"])]),
        .target(name: "NetworkTypes", swiftSettings: strict),
        .target(name: "Sodium", dependencies: ["CLibsodium", "NetworkTypes"], swiftSettings: strict),
        .target(name: "StructuredLogging", dependencies: [.product(name: "Logging", package: "swift-log")], swiftSettings: strict),

        // contracts
        .target(name: "EdgeAPI", dependencies: ["NetworkTypes", "Sodium"], swiftSettings: strict),
        .target(name: "NodeDocument", dependencies: ["NetworkTypes", "Sodium"], swiftSettings: strict),
    ],
    swiftLanguageModes: [.v6]
)

import CLibFuzzer
import Glibc

/// One fuzz target, chosen by `TIDEGATE_FUZZ_TARGET`; the options are libFuzzer's. `Tests/Fuzz/run` knows them.
@main
struct Fuzz {
    /// By the environment, because libFuzzer starts itself anew for some of its work.
    private static let name = environment("TIDEGATE_FUZZ_TARGET") ?? ""
    private static let target = targets[name]

    static func main() {
        if CommandLine.arguments.dropFirst() == ["--list"] {
            for name in targets.keys.sorted() { print(name) }
            return
        }
        guard target != nil else {
            print("TIDEGATE_FUZZ_TARGET names no target: \(name); there are \(targets.keys.sorted().joined(separator: ", "))")
            exit(2)
        }
        var count = CommandLine.argc
        var arguments: UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>? = CommandLine.unsafeArgv
        exit(
            LLVMFuzzerRunDriver(&count, &arguments) { data, size in
                Fuzz.target?(Array(UnsafeBufferPointer(start: data, count: size)))
                return 0
            })
    }
}

let targets: [String: @Sendable ([UInt8]) -> Void] = [
    "answers": fuzzAnswers,
    "certificates": fuzzCertificates,
    "discovery": fuzzDiscovery,
    "documents": fuzzDocuments,
    "envoy": fuzzEnvoy,
    "json": fuzzJSON,
    "knownhosts": fuzzKnownHosts,
    "kubeconfig": fuzzKubeconfig,
    "lines": fuzzLines,
    "links": fuzzLinks,
    "manifests": fuzzManifests,
    "netlink": fuzzNetlink,
    "reportbounds": fuzzReportBounds,
    "reports": fuzzReports,
    "sshkey": fuzzSSHKey,
    "tunnels": fuzzTunnels,
    "uapi": fuzzSocketText,
    "values": fuzzValues,
    "watch": fuzzWatch,
    "yaml": fuzzYAML,
]

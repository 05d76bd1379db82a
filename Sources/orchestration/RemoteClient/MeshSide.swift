import Glibc
public import HostNetwork
import Logging
public import Mesh
import NetworkTypes
import RemoteDocuments
import Sodium
import Synchronization
import Syscalls
import Timing

/// How a remote is part of its RemoteService's mesh.
public struct MeshOptions: Sendable {
    /// For kernels without WireGuard; the newest is taken.
    public var wireguardGo: [WireGuardGo.Program]
    /// Where the cluster's resolv.conf is written; nil for nowhere.
    public var resolverFile: String?
    /// A file that is made once the mesh is up; nil for none.
    public var readyFile: String?
    /// What is run once the mesh is up, with the cluster's resolv.conf; the remote ends with it. Nil for nothing.
    public var command: InnerCommand?

    public init(
        wireguardGo: [WireGuardGo.Program], resolverFile: String? = nil, readyFile: String? = nil, command: InnerCommand? = nil
    ) {
        self.wireguardGo = wireguardGo
        self.resolverFile = resolverFile
        self.readyFile = readyFile
        self.command = command
    }
}

/// The remote's end of a mesh: what its gateway tells becomes an interface, routes and a resolv.conf of this host.
final class MeshSide: Sendable {
    private let options: MeshOptions
    private let key: LinkPrivateKey
    private let allowed: Set<Port>?
    private let logger: Logger
    private let keeper: MeshKeeper
    private let wakeup: Wakeup
    /// How names are resolved; nil before it was told.
    private let resolver = Mutex<ResolverSettings?>(nil)

    init(_ options: MeshOptions, key: LinkPrivateKey, allowed: Set<Port>?, logger: Logger) {
        self.options = options
        self.key = key
        self.allowed = allowed
        self.logger = logger
        let wakeup = Wakeup()
        self.wakeup = wakeup
        keeper = MeshKeeper(wireguardGo: options.wireguardGo, logger: logger) { _ in wakeup.signal() }
    }

    /// Where this host's WireGuard takes what comes by a link; nil while there is none.
    var door: Port? { keeper.state.listenPort }

    func take(_ told: RemotePorts) {
        guard let terms = told.mesh else {
            keeper.want(nil)
            return logger.warning("--mesh: the RemoteService has no mesh (spec.mesh)")
        }
        do {
            if let fault = terms.fault { throw InvalidValue(expected: "mesh", given: "the gateway's", reason: fault) }
            keeper.want(try .remote(terms, key: key, ports: allowed))
            let settings = told.resolver?.checked
            resolver.withLock { $0 = settings }
            let networks = terms.clusterCIDRs.map(\.description).joined(separator: ", ")
            logger.info(
                "the gateway named its mesh",
                metadata: [
                    "networks": "\(networks)", "address": "\(terms.remoteAddress)",
                    "nameservers": "\(settings?.servers.map(\.description).joined(separator: ", ") ?? "unknown")",
                ])
            if let file = options.resolverFile, let settings { try Self.write(settings.text, to: file) }
        } catch {
            logger.error("the gateway's mesh cannot be joined", metadata: ["cause": "\(error)"])
        }
    }

    /// In place: it may be mounted elsewhere by now.
    private static func write(_ text: String, to file: String) throws(SystemFailure) {
        try Descriptor.open(file, O_WRONLY | O_CREAT | O_TRUNC, mode: 0o644).writeAll(Array(text.utf8))
    }

    /// Until the task is cancelled, or the command has ended.
    /// - Returns: its exit code; nil where there was none.
    func run() async -> Int32? {
        let (keeper, wakeup) = (keeper, wakeup)
        return await withTaskGroup(of: Void.self) { tasks in
            tasks.addTask { await keeper.run() }
            while !keeper.state.isUp, !Task.isCancelled { await wakeup.wait(until: .now + .seconds(1)) }
            var code: Int32?
            if !Task.isCancelled {
                tellReady()
                code = await runCommand()
            }
            while code == nil, !Task.isCancelled { await wakeup.wait() }
            tasks.cancelAll()
            return code
        }
    }

    private func tellReady() {
        guard let file = options.readyFile else { return }
        do throws(SystemFailure) {
            try Self.write("", to: file)
        } catch {
            logger.error("--ready-file cannot be written", metadata: ["cause": "\(error)"])
        }
    }

    private func runCommand() async -> Int32? {
        guard let command = options.command else { return nil }
        do {
            let settings = resolver.withLock { $0 }
            if settings == nil { logger.warning("the cluster's way to resolve names is not known: the command has this host's") }
            return try await command.run(resolver: settings?.text, logger: logger)
        } catch {
            logger.error("the command cannot be run", metadata: ["cause": "\(error)"])
            // As shells say of what cannot be executed (POSIX, 2.8.2).
            return 126
        }
    }
}

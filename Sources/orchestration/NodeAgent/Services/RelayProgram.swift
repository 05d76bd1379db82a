import CLinuxHeaders
import Glibc
import HostNetwork
import Logging
import NodeDocument

extension HostPaths {
    /// Our wireguard-go, and the host's own, to choose the newest of. It will run as root: one that others may write is none.
    var wireGuardPrograms: [WireGuardGo.Program] {
        let own = WireGuardGo.Program(loader, ["--library-path", programs, wireGuardGo])
        let others = hostWireGuardGo.filter { path in
            guard let status = try? statusOf(path), isRegularFile(status), access(path, X_OK) == 0 else { return false }
            return status.st_uid == geteuid() && status.st_mode & (S_IWGRP | S_IWOTH) == 0
        }
        return [own] + others.map { WireGuardGo.Program($0) }
    }
}

extension Agent {
    /// Becomes the relay's wireguard-go: the newer of ours and the host's.
    /// - Returns: only when that failed.
    public func runWireGuard() -> AgentError {
        let program = WireGuardGo.newest(of: host.paths.wireGuardPrograms)
        host.logger.info("starting", metadata: ["program": "\((program?.arguments.last ?? program?.path) ?? "")"])
        let code = program?.replaceProcess(["--foreground", RelayWireGuard.interface]) ?? ENOENT
        return AgentError(errno: code, tried: "starting wireguard-go")
    }
}

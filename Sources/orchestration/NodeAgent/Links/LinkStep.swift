import CLinuxHeaders
import Glibc
import NetworkTypes
import NodeDocument
import Sodium
import Syscalls

/// The link program's part of an apply: its files, its unit, and whether it runs.
struct LinkStep {
    let host: Host

    private var paths: HostPaths { host.paths }

    struct Result {
        var changes: [String] = []
        /// Whether something was other than the last apply left it.
        var isDrift: Bool?
        var problems: [AgentProblem] = []
    }

    /// Finds or makes the user.
    /// - Returns: what was changed, in words.
    func account(_ state: inout StateFile) throws(AgentError) -> (account: EnvoyAccount, changes: [String]) {
        if let account = try EnvoyAccount.find(paths, named: linkUser) { return (account, []) }
        state.value.madeLinkUser = true
        try state.save()
        return (try EnvoyAccount.make(host, named: linkUser), ["the user \(linkUser) made"])
    }

    /// What the program reads, but for itself.
    /// - Returns: what was changed, in words.
    func files(_ link: RelayLink, _ content: RelayContent, _ key: LinkPrivateKey, _ account: EnvoyAccount) throws(AgentError)
        -> [String]
    {
        var changes: [String] = []
        var seed = key.secret.withUnsafePointer { Array(UnsafeBufferPointer(start: $0, count: key.secret.count)) }
        defer { zero(&seed) }
        try makeFolder(paths.linkFiles, Access(mode: 0o750, group: account.group))
        if try ensureFile(paths.linkKey, seed, Access(mode: 0o640, group: account.group)) {
            changes.append("the links' key written")
        }
        let service = LinkServiceFile(link, bindings: content.envoy.bindings, socket: paths.sshSocket)
        if let fault = service.fault { throw AgentError(.badDocument, "links: \(fault)") }
        let file = "\(paths.linkFiles)/\(LinkServiceFile.fileName)"
        if try ensureFile(file, try jsonLine(service), Access(mode: 0o640, group: account.group)) {
            changes.append("what the link program serves written")
        }
        if try hand(link.handed, account) { changes.append("what uplinks are handed written") }
        return changes
    }

    /// - Returns: whether it was another.
    private func hand(_ handed: String?, _ account: EnvoyAccount) throws(AgentError) -> Bool {
        let file = "\(paths.linkFiles)/\(LinkServiceFile.handedName)"
        guard let handed else { return try removeFile(file) }
        guard let bytes = decodeBase64(handed), bytes.count <= HandedDocument.longest else {
            throw AgentError(.badDocument, "links: what uplinks are handed is no base64, or too long")
        }
        return try ensureFile(file, bytes, Access(mode: 0o640, group: account.group))
    }

    /// Starts the program, or has it handed over, where what runs is not what should.
    /// - Parameters:
    ///   - wanted: what should run.
    ///   - running: the unit as it is; nil when systemd does not know it.
    func run(_ wanted: LinkStart, _ running: UnitState?, _ state: inout StateFile) -> Result {
        var result = Result()
        let former = state.value.linkStartedWith
        do throws(AgentError) {
            if running?.isRunning != true {
                try host.services.start(.link)
                result.changes.append("the link program started")
                result.isDrift = former == wanted
            } else if former?.unit != wanted.unit {
                try host.services.restart(.link)
                result.changes.append("the link program restarted")
                result.isDrift = false
            } else if former != wanted {
                guard try host.services.reload(.link) else {
                    throw AgentError(.system, "it starts no other beside the one that runs")
                }
                let from = former?.build == wanted.build ? "itself with another key" : former?.build ?? "another"
                result.changes.append("the link program \(wanted.build) takes over from \(from)")
                result.isDrift = false
            }
            state.value.linkStartedWith = wanted
        } catch {
            let words = host.services.lastWords(.link)
            result.problems.append(
                AgentProblem(
                    kind: error.kind,
                    message: "the link program does not run: \(error.message)\(words.isEmpty ? "" : "; it said: \(words)")"))
        }
        return result
    }

    /// Removes all of it.
    /// - Returns: what was changed, in words.
    func remove(_ state: inout StateFile) throws(AgentError) -> [String] {
        var changes = try UnitFiles(host: host).remove([.link])
        for path in [paths.linkFiles, paths.linkRuntime] where try removeTree(path) {
            changes.append("\(path) removed")
        }
        if try LinkProgram(paths: paths).remove() { changes.append("the link program removed") }
        for path in [paths.keeper(.link), paths.log(.link)] where !host.hasSystemd() { try removeFile(path) }
        changes += try removeUser(&state)
        state.value.linkStartedWith = nil
        return changes
    }

    /// - Returns: what was changed, in words.
    func removeUser(_ state: inout StateFile) throws(AgentError) -> [String] {
        guard state.value.madeLinkUser else { return [] }
        let isThere = try EnvoyAccount.find(paths, named: linkUser) != nil
        if isThere { try EnvoyAccount.remove(host, named: linkUser) }
        state.value.madeLinkUser = false
        return isThere ? ["the user \(linkUser) removed"] : []
    }
}

extension LinkStatusFile {
    /// Seconds for which it counts: the program sets the file's time each second.
    private static let lifetime: Int64 = 5

    /// What the link program tells. Its user may write that file: what stands in it is no more than figures.
    /// - Returns: nil when there is none, or it is old or unreadable.
    static func read(_ paths: HostPaths) -> LinkStatusFile? {
        guard let file = try? Descriptor.open(paths.linkStatus, O_RDONLY | O_NOFOLLOW), let status = try? file.status(),
            isRegularFile(status), status.st_size <= bounds.bytes
        else { return nil }
        guard wasWritten(status, within: lifetime), let bytes = try? file.readAll(limit: bounds.bytes)
        else { return nil }
        return try? DocumentJSON.decode(LinkStatusFile.self, from: bytes, within: bounds)
    }

    /// The tunnel ports that the link program could not listen at, in words; the causes are of the system.
    var problems: [AgentProblem] {
        let refused = uplinks.filter { !$0.refusedPorts.isEmpty }.prefix(4)
        return refused.map { uplink in
            let ports = uplink.refusedPorts.prefix(3).map { printable($0, limit: 200) }.joined(separator: ", ")
            return AgentProblem(
                kind: .network,
                message:
                    "connections to uplink \(uplink.ordinal) by links cannot be taken at \(uplink.address) (\(ports)); stop what "
                    + "listens there, and they are")
        }
    }
}

import CLinuxHeaders
import Glibc
import NodeDocument

/// The folder that Envoy reads, and the staged copy in which changes are proven first.
struct EnvoyFolder {
    let live: String
    let staging: String
    /// Envoy's group, which may read and not write; nil leaves the group as it is made.
    let group: gid_t?

    private var folderAccess: Access { Access(mode: 0o750, group: group) }
    private var fileAccess: Access { Access(mode: 0o640, group: group) }

    init(_ paths: HostPaths, group: gid_t?) {
        live = paths.envoyFiles
        staging = paths.staging
        self.group = group
    }

    /// Makes the folders, and gives them and all files in them to their owners again.
    /// - Returns: whether something had to be put right.
    func prepare() throws(AgentError) -> Bool {
        var changed = try makeFolder(live, folderAccess)
        for folder in EnvoyLayout.folders where try makeFolder("\(live)/\(folder)", folderAccess) { changed = true }
        return changed
    }

    /// Every file by its path below the folder. What is no plain file counts as empty, and so gets replaced or removed.
    func read() throws(AgentError) -> (files: [String: [UInt8]], wrongAccess: [String]) {
        var files: [String: [UInt8]] = [:]
        var wrongAccess: [String] = []
        for folder in [""] + EnvoyLayout.folders.map({ $0 + "/" }) {
            for name in try namesInFolder("\(live)/\(folder)") where !(folder.isEmpty && EnvoyLayout.folders.contains(name)) {
                let path = folder + name
                guard let status = try statusOf("\(live)/\(path)") else { continue }
                guard isRegularFile(status) else {
                    files[path] = []
                    continue
                }
                files[path] = try readFile("\(live)/\(path)") ?? []
                let isWrong = status.st_mode & 0o7777 != fileAccess.mode || group.map { $0 != status.st_gid } ?? false
                if isWrong || status.st_uid != getuid() { wrongAccess.append(path) }
            }
        }
        return (files, wrongAccess)
    }

    func repairAccess(_ paths: [String]) throws(AgentError) {
        for path in paths {
            guard let status = try statusOf("\(live)/\(path)") else { continue }
            if status.st_uid != getuid() { try checked("taking \(path)") { lchown("\(live)/\(path)", getuid(), status.st_gid) } }
            try adjust("\(live)/\(path)", status, fileAccess)
        }
    }

    /// Writes a whole set into a fresh staging folder: what changed as new files, the rest as links to the live ones.
    func stage(_ files: [String: [UInt8]], changed: Set<String>) throws(AgentError) {
        try removeTree(staging)
        try makeFolder(staging, .secretFolder)
        for folder in EnvoyLayout.folders { try makeFolder("\(staging)/\(folder)", .secretFolder) }
        for (path, contents) in files {
            if !changed.contains(path) && link("\(live)/\(path)", "\(staging)/\(path)") == 0 { continue }
            try writeNewFile("\(staging)/\(path)", contents, fileAccess)
        }
        try syncFileSystem(of: staging)
    }

    /// Moves a staged file to its place; Envoy sees the rename.
    func publish(_ path: String) throws(AgentError) {
        if let status = try statusOf("\(live)/\(path)"), isFolder(status) { try removeTree("\(live)/\(path)") }
        try moveFile("\(staging)/\(path)", "\(live)/\(path)")
    }

    /// Puts other bytes than the staged ones in place.
    func publish(_ contents: [UInt8], as path: String) throws(AgentError) {
        let temporary = "\(staging)/\(path).next"
        unlink(temporary)
        try writeNewFile(temporary, contents, fileAccess, sync: true)
        try moveFile(temporary, "\(live)/\(path)")
    }

    func remove(_ path: String) throws(AgentError) { try removeTree("\(live)/\(path)") }

    /// Makes the renames last, and clears the staging folder away.
    func finish() throws(AgentError) {
        for folder in [""] + EnvoyLayout.folders.map({ "/" + $0 }) { try syncFolder(of: "\(live)\(folder)/x") }
        try removeTree(staging)
    }
}

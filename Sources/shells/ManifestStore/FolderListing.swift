import Glibc
import Syscalls

/// The manifest files below a folder, by name.
struct FolderListing {
    /// Deeper folders are not looked into: a bound against loops of bind mounts.
    static let depth = 16

    struct File {
        /// Below the folder that was listed.
        var name: String
        var status: stat
    }

    private(set) var files: [File] = []
    /// Folders that cannot be listed; an empty name is the folder itself.
    private(set) var failures: [(folder: String, failure: FileFailure)] = []

    init(_ path: String) { list(path, below: "", depth: 0) }

    private mutating func list(_ root: String, below folder: String, depth: Int) {
        let path = folder.isEmpty ? root : "\(root)/\(folder)"
        let entries: [(name: String, kind: FileKind)]
        do throws(FileFailure) {
            entries = try folderEntries(path)
        } catch {
            // A sub-folder may go while its parent is listed; then it is simply gone.
            if folder.isEmpty || !error.isMissing { failures.append((folder, error)) }
            return
        }
        for (entry, kind) in entries where !entry.hasPrefix(".") {
            let name = folder.isEmpty ? entry : "\(folder)/\(entry)"
            switch kind {
            case .folder:
                if depth < Self.depth { list(root, below: name, depth: depth + 1) }
            case .regular, .link:
                let path = "\(root)/\(name)"
                guard isManifest(entry), let status = (try? fileStatus(at: path, followingLinks: true)) ?? nil,
                    FileKind(status) == .regular
                else { continue }
                files.append(File(name: name, status: status))
            case .other: continue
            }
        }
    }

    private func isManifest(_ name: String) -> Bool {
        [".yaml", ".yml", ".json"].contains { name.hasSuffix($0) }
    }
}

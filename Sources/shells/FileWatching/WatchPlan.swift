import Syscalls

/// Which folders must be watched, and for which names in them, to learn of every change to a set of paths.
///
/// A path is followed name by name, through symbolic links, from the root down: each folder on the way is watched for the one
/// name that leads on. So it is seen when any part is made, deleted, moved or re-linked, as Kubernetes re-links `..data`.
struct WatchPlan: Equatable {
    /// What to watch a folder for.
    struct Interest: Equatable {
        /// These names; their coming and going.
        var names: Set<String> = []
        /// Those of `names` that are files whose content counts.
        var files: Set<String> = []
        /// The folder is one of those asked for, or in one: all in it counts.
        var isWhole = false
    }

    /// Links followed on one path before it counts as a loop, as in the kernel (MAXSYMLINKS).
    private static let mostLinks = 40
    /// Folders below one that was asked for.
    private static let depth = 16

    private(set) var folders: [String: Interest] = [:]
    /// In the order of being added: a folder comes after the one that leads to it.
    private(set) var order: [String] = []

    /// Follows an absolute path as far as there is something.
    mutating func add(path: String) {
        var links = 0
        add(names: path.split(separator: "/").map(String.init), links: &links)
    }

    private mutating func add(names: [String], links: inout Int) {
        var rest = names[...]
        var folder = "/"
        while let name = rest.popFirst() {
            switch name {
            case ".": continue
            case "..":
                folder = folderPart(of: folder)
                continue
            default: break
            }
            note(folder) { $0.names.insert(name) }
            let next = folder == "/" ? "/\(name)" : "\(folder)/\(name)"
            switch try? fileKind(at: next) {
            case nil: return
            case .link:
                links += 1
                guard links <= Self.mostLinks, let target = try? readLink(next) else { return }
                rest = target.split(separator: "/").map(String.init) + rest
                if target.hasPrefix("/") { folder = "/" }
            case .folder:
                folder = next
            default:
                if rest.isEmpty { note(folder) { $0.files.insert(name) } }
                return
            }
        }
        addWhole(folder, depth: 0)
    }

    private mutating func addWhole(_ folder: String, depth: Int) {
        note(folder) { $0.isWhole = true }
        for name in (try? namesInFolder(at: folder)) ?? [] where !name.hasPrefix(".") {
            let path = folder == "/" ? "/\(name)" : "\(folder)/\(name)"
            switch try? fileKind(at: path) {
            case .folder where depth < Self.depth: addWhole(path, depth: depth + 1)
            case .link: addLinkedFile(path)
            default: continue
            }
        }
    }

    /// A link to a file counts as the file; one to a folder is not followed, as no reader of manifests does either.
    private mutating func addLinkedFile(_ path: String) {
        if (try? fileKind(at: path, followingLinks: true)) == .folder { return }
        var links = 0
        add(names: path.split(separator: "/").map(String.init), links: &links)
    }

    private mutating func note(_ folder: String, _ change: (inout Interest) -> Void) {
        if folders[folder] == nil { order.append(folder) }
        change(&folders[folder, default: Interest()])
    }
}

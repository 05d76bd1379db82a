import CLinuxHeaders
import Glibc
import Syscalls

/// The mounts of this process's mount namespace, which must be its own.
enum Mounts {
    private static let resolverFile = "/etc/resolv.conf"
    /// Where services answer that programs may ask for names instead of reading resolv.conf (nss-resolve(8), nscd(8)).
    static let nameServices = ["/run/systemd/resolve", "/run/nscd", "/var/run/nscd"]

    /// What is mounted here from now on is seen nowhere else.
    static func makePrivate() throws(SystemFailure) {
        try calling("mount") { mount(nil, "/", nil, UInt(MS_REC | MS_PRIVATE), nil) }
    }

    /// Has resolv.conf say this, and what stands in these folders of others hidden.
    static func replaceResolver(with text: [UInt8], covering folders: [String]) throws(SystemFailure) {
        // A link may lead into what is covered.
        let target = realPath(of: resolverFile) ?? resolverFile
        for folder in folders where try fileKind(at: folder) == .folder {
            try calling("mount") { mount("tidegate", folder, "tmpfs", UInt(MS_NOSUID | MS_NODEV), "mode=0755,size=1m") }
        }
        guard try fileKind(at: target) != nil else {
            try makeFolders(of: target)
            return try Descriptor.open(target, O_WRONLY | O_CREAT | O_EXCL, mode: 0o644).writeAll(text)
        }
        // The mount is what remains of the file.
        let file = try writeTemporaryFile(text)
        defer { unlink(file) }
        try calling("mount") { mount(file, target, nil, UInt(MS_BIND), nil) }
    }

    /// Has a folder of that name, empty and ours, in one that we may not write to; all else in there stays what it is.
    static func add(folder name: String, to parent: String) throws(SystemFailure) {
        var template = Array("/tmp/tidegate-XXXXXX".utf8CString)
        guard mkdtemp(&template) != nil else { throw SystemFailure("mkdtemp", errno) }
        let place = String(decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
        defer { rmdir(place) }
        try calling("mount") { mount("tidegate", place, "tmpfs", UInt(MS_NOSUID | MS_NODEV), "mode=0755,size=1m") }
        for entry in try namesInFolder(at: parent) where entry != name {
            let (from, to) = ("\(parent)/\(entry)", "\(place)/\(entry)")
            switch try fileKind(at: from) {
            case nil: continue
            case .link:
                let text = try readLink(from)
                try calling("symlink") { symlink(text, to) }
            case .folder:
                try makeFolder(at: to)
                try bind(from, to)
            default:
                _ = try Descriptor.open(to, O_WRONLY | O_CREAT | O_EXCL, mode: 0o600)
                try bind(from, to)
            }
        }
        try makeFolder(at: "\(place)/\(name)")
        try calling("mount") { mount(place, parent, nil, UInt(MS_MOVE), nil) }
    }

    /// With what is mounted below, which an ordinary user's namespace could not part from it.
    private static func bind(_ from: String, _ to: String) throws(SystemFailure) {
        try calling("mount") { mount(from, to, nil, UInt(MS_BIND | MS_REC), nil) }
    }

    private static func makeFolders(of path: String) throws(SystemFailure) {
        var folder = ""
        for part in path.split(separator: "/").dropLast() {
            folder += "/\(part)"
            if try fileKind(at: folder) == nil { try makeFolder(at: folder) }
        }
    }

    private static func realPath(of path: String) -> String? {
        guard let text = realpath(path, nil) else { return nil }
        defer { free(text) }
        return String(cString: text)
    }
}

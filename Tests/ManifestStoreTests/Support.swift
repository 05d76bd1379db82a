import Glibc
import Testing

/// A folder of its own for one test, gone with its owner.
final class TemporaryFolder {
    let path: String

    init() throws {
        var template = Array("/tmp/tidegate-test-XXXXXX".utf8CString)
        path = String(cString: try #require(mkdtemp(&template)))
    }

    deinit { Self.remove(path) }

    func callAsFunction(_ name: String) -> String { "\(path)/\(name)" }

    func write(_ name: String, _ text: String, mode: mode_t = 0o600) throws {
        let descriptor = open(self(name), O_WRONLY | O_CREAT | O_TRUNC, mode)
        try #require(descriptor >= 0)
        defer { close(descriptor) }
        let bytes = Array(text.utf8)
        try #require(Glibc.write(descriptor, bytes, bytes.count) == bytes.count)
        try #require(fchmod(descriptor, mode) == 0)
    }

    func read(_ name: String) -> String? { Self.read(from: self(name)) }

    static func read(from path: String) -> String? {
        let descriptor = open(path, O_RDONLY)
        guard descriptor >= 0 else { return nil }
        defer { close(descriptor) }
        var buffer = [UInt8](repeating: 0, count: 1 << 20)
        let count = Glibc.read(descriptor, &buffer, buffer.count)
        return count < 0 ? nil : String(decoding: buffer[..<count], as: UTF8.self)
    }

    func makeFolder(_ name: String) throws { try #require(mkdir(self(name), 0o700) == 0) }

    func remove(_ name: String) throws { try #require(unlink(self(name)) == 0) }

    /// Permission bits, and 0 for what is not there.
    func mode(_ name: String) -> mode_t {
        var status = stat()
        return stat(self(name), &status) == 0 ? status.st_mode & 0o777 : 0
    }

    func names(_ folder: String) -> [String] { Self.names(in: self(folder)) }

    private static func names(in path: String) -> [String] {
        guard let handle = opendir(path) else { return [] }
        defer { closedir(handle) }
        var names: [String] = []
        while let entry = readdir(handle) {
            names.append(
                withUnsafePointer(to: &entry.pointee.d_name) {
                    $0.withMemoryRebound(to: CChar.self, capacity: Int(NAME_MAX) + 1) { String(cString: $0) }
                })
        }
        return names.filter { $0 != "." && $0 != ".." }.sorted()
    }

    private static func remove(_ path: String) {
        if unlink(path) != 0 {
            for name in names(in: path) { remove("\(path)/\(name)") }
            rmdir(path)
        }
    }
}

let edgeNodeText = """
    apiVersion: tunnel.achetronic.com/v1alpha1
    kind: EdgeNode
    metadata:
      name: edge
    spec:
      address: 203.0.113.10
      ssh:
        secretRef:
          name: vps
    """

func portBindingText(_ name: String, port: Int = 80) -> String {
    """
    apiVersion: tunnel.achetronic.com/v1alpha1
    kind: PortBinding
    metadata:
      name: \(name)
    spec:
      edgeNodeRef:
        name: edge
      bindings:
      - name: http
        protocol: TCP
        listenPort: \(port)
        target:
          address: 10.0.0.1
          port: 80
    """
}

let secretText = """
    apiVersion: v1
    kind: Secret
    metadata:
      name: vps
    stringData:
      password: hunter2
    """

func documents(_ texts: String...) -> String { texts.joined(separator: "\n---\n") + "\n" }

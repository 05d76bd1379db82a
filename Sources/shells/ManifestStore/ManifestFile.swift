public import Documents
public import EdgeAPI
import Glibc
import NetworkTypes
import Syscalls
import YAML

/// One thing wrong in a file of manifests.
public struct ManifestProblem: Hashable, Sendable, CustomStringConvertible {
    public var severity: FieldProblem.Severity
    /// As it was given, or below the folder that was read.
    public var file: String
    /// From 1; nil for the file as a whole.
    public var line: Int?
    /// Such as `PortBinding default/web`; empty where the manifest does not say.
    public var object: String
    /// Such as `spec.bindings[2].tcp.idleTimeout`; empty for the document as a whole.
    public var path: String
    public var message: String

    public init(
        severity: FieldProblem.Severity = .error, file: String, line: Int? = nil, object: String = "", path: String = "",
        message: String
    ) {
        self.severity = severity
        self.file = file
        self.line = line
        self.object = object
        self.path = path
        self.message = message
    }

    init(_ problem: FieldProblem, file: String) {
        self.init(
            severity: problem.severity, file: file, line: problem.position?.line, object: problem.object, path: problem.path,
            message: problem.message)
    }

    public var description: String {
        let place = line.map { "\(printable(file, limit: 400)):\($0)" } ?? printable(file, limit: 400)
        return [place, object, path, message].filter { !$0.isEmpty }.joined(separator: ": ")
    }
}

/// What a file of manifests holds.
public struct ManifestFile: Sendable {
    /// Far more than a folder's file needs; each document has a limit of its own besides.
    static let limit = 8 << 20

    /// A bound on what a hostile file makes of itself.
    private static let mostProblems = 1000

    /// Those that could be read; with problems, perhaps not all.
    public var manifests: [PlacedManifest]
    public var problems: [ManifestProblem]

    public var hasErrors: Bool { problems.contains { $0.severity == .error } }

    /// Reads the file at `path`, JSON when it ends in `.json` and YAML otherwise, and reports all that is wrong with it.
    /// - Parameters:
    ///   - name: the file's name in problems; nil for `path`.
    ///   - foreignKinds: how grave a Kubernetes object is that Tidegate has no use for.
    public static func read(
        _ path: String, name: String? = nil, foreignKinds: FieldProblem.Severity = .error
    ) -> ManifestFile {
        let name = name ?? path
        do throws(FileFailure) {
            return try onFile(path) { () throws(SystemFailure) in
                let file = try Descriptor.open(path, O_RDONLY)
                return try read(file, status: try file.status(), name: name, foreignKinds: foreignKinds)
            }
        } catch {
            return ManifestFile(failure: error, name: name)
        }
    }

    init(failure: FileFailure, name: String) {
        let reason = failure.code == EFBIG ? "is larger than \(Self.limit) bytes; split it" : "cannot be read: \(failure.reason)"
        manifests = []
        problems = [ManifestProblem(file: name, message: reason)]
    }

    static func read(
        _ file: Descriptor, status: stat, name: String, foreignKinds: FieldProblem.Severity
    ) throws(SystemFailure) -> ManifestFile {
        guard FileKind(status) == .regular else {
            return ManifestFile(manifests: [], problems: [ManifestProblem(file: name, message: "is no regular file")])
        }
        let bytes = try file.readAll(limit: limit)
        var result = ManifestFile(bytes: bytes, name: name, foreignKinds: foreignKinds)
        let hasSecret = result.manifests.contains { $0.manifest.kind == Secret.kind }
        if hasSecret, status.st_mode & S_IROTH != 0 {
            result.problems.append(
                ManifestProblem(
                    severity: .warning, file: name, message: "holds a Secret and every user can read it; chmod o-r it"))
        }
        return result
    }

    init(manifests: [PlacedManifest], problems: [ManifestProblem]) {
        self.manifests = manifests
        self.problems = problems
    }

    /// Reads a text that is at hand already.
    public init(bytes: [UInt8], name: String, foreignKinds: FieldProblem.Severity = .error) {
        self.init(manifests: [], problems: [])
        let (documents, syntaxProblem) = name.hasSuffix(".json") ? Self.readJSON(bytes) : readYAML(bytes)
        for document in documents {
            guard problems.count < Self.mostProblems else {
                problems.append(ManifestProblem(file: name, message: "there is more; mend the first \(problems.count) to see it"))
                return
            }
            let (found, problems) = Manifest.decode(document, foreignKinds: foreignKinds)
            manifests += found
            self.problems += problems.map { ManifestProblem($0, file: name) }
        }
        if let syntaxProblem {
            problems.append(
                ManifestProblem(file: name, line: syntaxProblem.position?.line, message: syntaxProblem.message))
        }
    }

    private static func readJSON(_ bytes: [UInt8]) -> (documents: [FieldNode], problem: SyntaxProblem?) {
        do throws(SyntaxProblem) {
            return ([try FieldNode(json: bytes)], nil)
        } catch {
            return ([], error)
        }
    }
}

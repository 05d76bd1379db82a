public import EdgeAPI

/// What a folder of manifests says at one moment.
public struct Snapshot: Equatable, Sendable {
    /// In the order of their names.
    public var edgeNodes: [EdgeNode] = []
    /// In the order of their names.
    public var portBindings: [PortBinding] = []
    public var secrets: [ObjectName: Secret] = [:]
    public var services: [ObjectName: Service] = [:]
    /// In the order of files and lines.
    public var problems: [ManifestProblem] = []
    /// False while something could not be read or is just being written: what is missing may stand there. Nothing may be
    /// torn down on the word of a snapshot that is not complete.
    public var isComplete = true
    /// When to load again, because a file was still being written or replaced; nil when all was quiet.
    public var settlesIn: Duration?

    public init() {}

    mutating func add(_ manifest: Manifest) {
        switch manifest {
        case .edgeNode(let object): edgeNodes.append(object)
        case .portBinding(let object): portBindings.append(object)
        case .secret(let object): secrets[object.metadata.objectName] = object
        case .service(let object): services[object.metadata.objectName] = object
        // It needs a cluster, which is said where it is read.
        case .remoteService: break
        }
    }

    mutating func sort() {
        edgeNodes.sort { $0.metadata.objectName < $1.metadata.objectName }
        portBindings.sort { $0.metadata.objectName < $1.metadata.objectName }
        problems.sort { ($0.file, $0.line ?? 0, $0.path) < ($1.file, $1.line ?? 0, $1.path) }
    }
}

import Documents
import EdgeAPI
import NetworkTypes

/// A folder of manifests as a store of objects: every `.yaml`, `.yml` and `.json` file in it and its sub-folders that is not
/// hidden.
///
/// It remembers what it read. A file that is broken now keeps the objects of its last good version in force, so that a slip of
/// the pen takes nothing down; an object vanishes only with its file, or when a file that reads well no longer has it.
public struct ManifestFolder: Sendable {
    /// One object of the store.
    private struct Key: Hashable, Comparable {
        var kind: String
        var name: ObjectName

        init(_ manifest: Manifest) {
            kind = manifest.kind
            name = manifest.name
        }

        static func < (a: Self, b: Self) -> Bool { (a.kind, a.name) < (b.kind, b.name) }
    }

    public let path: String
    private let settleTime: Duration
    private var files: [String: KnownFile] = [:]
    /// The file whose version of an object is in force.
    private var holders: [Key: String] = [:]

    /// - Parameter settleTime: a file changed or gone less than this ago loses no object yet: it may still be being written.
    public init(path: String, settleTime: Duration = .milliseconds(250)) {
        self.path = path
        self.settleTime = settleTime
    }

    /// Reads what changed since the last time. Blocks on the file system.
    public mutating func load() -> Snapshot {
        var snapshot = Snapshot()
        let listing = FolderListing(path)
        for (folder, failure) in listing.failures {
            snapshot.isComplete = false
            snapshot.problems.append(
                ManifestProblem(
                    file: folder.isEmpty ? path : folder,
                    message: "the folder cannot be read: \(failure.reason); its objects stay as they are"))
        }
        for file in listing.files {
            var known = files[file.name] ?? KnownFile()
            known.update(file, in: path, settleTime: settleTime)
            files[file.name] = known
        }
        forgetMissing(listing)
        for (name, known) in files {
            snapshot.problems += known.allProblems(of: name)
            if known.isSettling { snapshot.settlesIn = settleTime }
            if known.isSettling || !known.isGood { snapshot.isComplete = false }
        }
        collect(into: &snapshot)
        snapshot.sort()
        return snapshot
    }

    private mutating func forgetMissing(_ listing: FolderListing) {
        let present = Set(listing.files.map(\.name))
        for name in files.keys where !present.contains(name) {
            // What lies in a folder that cannot be listed is not gone.
            if listing.failures.contains(where: { $0.folder.isEmpty || name.hasPrefix("\($0.folder)/") }) { continue }
            if files[name]?.isGoneForGood(after: settleTime) == true { files[name] = nil }
        }
    }

    /// Puts each object in once, and reports those that several files have.
    private mutating func collect(into snapshot: inout Snapshot) {
        var sources: [Key: [(file: String, manifest: PlacedManifest)]] = [:]
        for (file, known) in files {
            for placed in known.manifests { sources[Key(placed.manifest), default: []].append((file, placed)) }
        }
        var newHolders: [Key: String] = [:]
        for (key, candidates) in sources.sorted(by: { $0.key < $1.key }) {
            let ordered = candidates.enumerated().sorted { a, b in
                rank(a.element.file, key, a.offset) < rank(b.element.file, key, b.offset)
            }.map(\.element)
            guard let first = ordered.first else { continue }
            newHolders[key] = first.file
            snapshot.add(first.manifest.manifest)
            if case .remoteService = first.manifest.manifest {
                snapshot.problems.append(
                    ManifestProblem(
                        file: first.file, line: first.manifest.position?.line, object: "\(key.kind) \(key.name)",
                        message: "needs a Kubernetes cluster and `tidegate controller`; here it is passed over"))
            }
            for other in ordered.dropFirst() {
                let place = first.manifest.position.map { ":\($0.line)" } ?? ""
                snapshot.problems.append(
                    ManifestProblem(
                        file: other.file, line: other.manifest.position?.line, object: "\(key.kind) \(key.name)",
                        message: "is defined in \(printable(first.file, limit: 400))\(place) too, which counts; remove one"))
            }
        }
        holders = newHolders
    }

    /// The file that had the object before comes first, then the older file, then the first by name and place.
    private func rank(_ file: String, _ key: Key, _ offset: Int) -> KnownFile.Rank {
        KnownFile.Rank(
            isNewcomer: holders[key] != file, modified: files[file]?.modified ?? 0, name: file, offset: offset)
    }
}

import Documents
import EdgeAPI
import Glibc

/// One file of a folder: what it holds, and what of its past is still in force.
struct KnownFile: Sendable {
    /// What changes when a file's content does.
    private struct Signature: Equatable {
        var device: UInt
        var inode: UInt
        var size: Int
        var modified: Int64
        var changed: Int64

        init(_ status: stat) {
            device = status.st_dev
            inode = status.st_ino
            size = status.st_size
            modified = nanoseconds(status.st_mtim)
            changed = nanoseconds(status.st_ctim)
        }
    }

    /// Whose version of an object counts when several files have it: the lowest.
    struct Rank: Comparable {
        var isNewcomer: Bool
        var modified: Int64
        var name: String
        var offset: Int

        static func < (a: Self, b: Self) -> Bool {
            (a.isNewcomer ? 1 : 0, a.modified, a.name, a.offset) < (b.isNewcomer ? 1 : 0, b.modified, b.name, b.offset)
        }
    }

    private(set) var manifests: [PlacedManifest] = []
    private(set) var isGood = true
    private(set) var isSettling = false
    private var problems: [ManifestProblem] = []
    /// How many of `manifests` are there only because the file is broken now.
    private var kept = 0
    private var signature: Signature?
    /// Not by the clock of day, which may step back.
    private var goneSince: ContinuousClock.Instant?

    /// Nanoseconds since 1970.
    var modified: Int64 { signature?.modified ?? 0 }

    mutating func update(_ file: FolderListing.File, in folder: String, settleTime: Duration) {
        let signature = Signature(file.status)
        // A file may change again within one tick of the clock that stamps it; one touched just now is read again.
        let isOld = now() - max(signature.modified, signature.changed) > 2_000_000_000
        if signature == self.signature, isOld, goneSince == nil, !isSettling { return }
        goneSince = nil
        isSettling = false
        let content = ManifestFile.read("\(folder)/\(file.name)", name: file.name, foreignKinds: .warning)
        let new = Set(content.manifests.map { "\($0.manifest.kind) \($0.manifest.name)" })
        let missing = manifests.filter { !new.contains("\($0.manifest.kind) \($0.manifest.name)") }
        let age = now() - signature.modified
        if !missing.isEmpty, !content.hasErrors, age >= 0, age < settleTime.nanoseconds {
            isSettling = true
            return
        }
        // A file that is new here has lost nothing, but what follows in it may be what another one had.
        isSettling = self.signature == nil && age >= 0 && age < settleTime.nanoseconds
        self.signature = signature
        problems = content.problems
        if !missing.isEmpty, content.manifests.isEmpty, file.status.st_size == 0 {
            problems.append(ManifestProblem(file: file.name, message: "is empty; delete the file to remove what it held"))
        }
        isGood = !problems.contains { $0.severity == .error }
        kept = isGood ? 0 : missing.count
        manifests = content.manifests + (isGood ? [] : missing)
    }

    /// Whether a file that is not there any more has been away long enough to be no editor's doing.
    mutating func isGoneForGood(after settleTime: Duration) -> Bool {
        let since = goneSince ?? .now
        goneSince = since
        isSettling = .now - since < settleTime
        return !isSettling
    }

    func allProblems(of name: String) -> [ManifestProblem] {
        guard kept > 0 else { return problems }
        let what = kept == 1 ? "1 object of the last good version stays" : "\(kept) objects of the last good version stay"
        return problems + [
            ManifestProblem(severity: .warning, file: name, message: "\(what) in force until the file reads well again")
        ]
    }
}

private func nanoseconds(_ time: timespec) -> Int64 { Int64(time.tv_sec) * 1_000_000_000 + Int64(time.tv_nsec) }

/// Nanoseconds since 1970, by the clock that stamps files.
private func now() -> Int64 {
    var time = timespec()
    clock_gettime(CLOCK_REALTIME, &time)
    return nanoseconds(time)
}

extension Duration {
    fileprivate var nanoseconds: Int64 {
        let (seconds, attoseconds) = components
        return seconds * 1_000_000_000 + attoseconds / 1_000_000_000
    }
}

import Glibc
import Syscalls
import TestFiles
import Testing

@Suite struct FilesTests {
    private let folder: TemporaryFolder

    init() throws { folder = try TemporaryFolder() }

    private func mode(_ path: String) throws -> mode_t? { try fileStatus(at: path).map { $0.st_mode & 0o7777 } }

    // MARK: files that are whole

    @Test func replacesAFileAndLeavesNoOther() throws {
        let path = try folder.write("file", "old", mode: 0o644)
        try folder.write("file.tmp", "half of a former one")
        try replaceFile(path, with: Array("new".utf8), mode: 0o640, through: folder("file.tmp"))
        #expect(folder.read("file") == "new")
        #expect(try mode(path) == 0o640)
        #expect(try namesInFolder(at: folder.path) == ["file"])
    }

    @Test func aFileThatCannotBeMovedIntoPlaceLeavesWhatIsThere() throws {
        try folder.write("place/kept", "k")
        #expect { try replaceFile(folder("place"), with: [1], mode: 0o600, through: folder("t")) } throws: {
            ($0 as? SystemFailure)?.call == "rename"
        }
        #expect(folder.read("place/kept") == "k")
        #expect(try namesInFolder(at: folder.path) == ["place"])
    }

    /// A limit of the length of files stands for a full disk; it is of a whole process, so of one of its own.
    @Test func aDiskThatIsFullHalfWayLeavesTheOldFile() async {
        await #expect(processExitsWith: .success) {
            let folder = try TemporaryFolder()
            let path = try folder.write("file", "old")
            signal(SIGXFSZ, SIG_IGN)
            var limit = rlimit(rlim_cur: 5000, rlim_max: 5000)
            try #require(setrlimit(__rlimit_resource_t(RLIMIT_FSIZE.rawValue), &limit) == 0)
            let bytes = [UInt8](repeating: 1, count: 100_000)
            let failure = #expect(throws: SystemFailure.self) {
                try replaceFile(path, with: bytes, mode: 0o600, through: folder("file.tmp"))
            }
            try #require(failure == SystemFailure("write", EFBIG))
            try #require(folder.read("file") == "old")
            try #require(try namesInFolder(at: folder.path) == ["file"])
        }
    }

    @Test func aNewFileTakesNobodysPlace() throws {
        let path = try folder.write("file", "old")
        #expect { try writeNewFile(path, [1], mode: 0o600, isSynced: false) } throws: {
            ($0 as? SystemFailure) == SystemFailure("open", EEXIST)
        }
        #expect(folder.read("file") == "old")
    }

    @Test func aLinkInThePlaceOfTheTemporaryFileIsNotWrittenThrough() throws {
        let path = try folder.write("file", "old")
        let outside = try folder.write("outside", "o")
        try folder.link("t", to: outside)
        try replaceFile(path, with: Array("new".utf8), mode: 0o600, through: folder("t"))
        #expect(folder.read("outside") == "o")
        #expect(folder.read("file") == "new")
    }

    @Test func namesTheFolderOfAPath() {
        for (path, part) in [("/a/b", "/a"), ("/a", "/"), ("a", "."), ("a/b/c", "a/b"), ("../a", "..")] {
            #expect(folderPart(of: path) == part)
        }
    }

    // MARK: removal

    @Test func removesATreeAndFollowsNoLink() throws {
        try folder.write("outside/kept", "k")
        try folder.write("tree/file", "f")
        try folder.link("tree/folder", to: folder("outside"))
        try folder.link("tree/file-link", to: folder("outside/kept"))
        try folder.link("tree/dangling", to: "/nonexistent")
        #expect(mkfifo(folder("tree/pipe"), 0o600) == 0)
        #expect(try removeTree(at: folder("tree")))
        #expect(try !removeTree(at: folder("tree")))
        #expect(folder.read("outside/kept") == "k")
        try folder.link("top", to: folder("outside"))
        #expect(try removeTree(at: folder("top")), "the link itself")
        #expect(folder.read("outside/kept") == "k")
    }

    /// A hundred times as deep as any tree of ours.
    @Test func nestingCostsNoFilesAndNoStack() throws {
        var path = folder("tree")
        for _ in 0..<1000 {
            try #require(mkdir(path, 0o700) == 0)
            path += "/d"
        }
        #expect(try removeTree(at: folder("tree")))
        #expect(try fileStatus(at: folder("tree")) == nil)
    }

    @Test func namesThatAreNoTextAreRemovedToo() throws {
        try #require(mkdir(folder("tree"), 0o700) == 0)
        let inner = try Descriptor.open(folder("tree"), O_RDONLY | O_DIRECTORY)
        let name: [CChar] = [-1, -2, 0x61, 0]
        let made = openat(inner.number, name, O_WRONLY | O_CREAT | O_CLOEXEC, 0o600)
        try #require(made >= 0)
        close(made)
        #expect(try namesInFolder(at: folder("tree")).count == 1)
        #expect(try removeTree(at: folder("tree")))
    }

    // MARK: looking

    @Test func tellsKindsApart() throws {
        try folder.write("folder/file", "f")
        try folder.link("link", to: folder("folder"))
        #expect(try fileKind(at: folder("folder/file")) == .regular)
        #expect(try fileKind(at: folder("folder")) == .folder)
        #expect(try fileKind(at: folder("link")) == .link)
        #expect(try fileKind(at: folder("link"), followingLinks: true) == .folder)
        #expect(try fileStatus(at: folder("folder/file/below")) == nil)
        #expect(try fileKind(at: "/dev/null") == .other)
        #expect(try readLink(folder("link")) == folder("folder"))
        #expect { try readLink(folder("folder")) } throws: { ($0 as? SystemFailure)?.code == EINVAL }
        #expect { try namesInFolder(at: folder("folder/file")) } throws: { ($0 as? SystemFailure)?.isMissing == true }
    }

    @Test func findsProgramsInAbsoluteFoldersAlone() throws {
        try folder.write("bin/tool", "#!", mode: 0o755)
        try folder.write("lib/tool", "#!", mode: 0o644)
        #expect(findProgram("tool", in: ["", ".", folder("lib"), folder("bin")]) == folder("bin/tool"))
        #expect(findProgram("tool", in: [folder("none")]) == nil)
        #expect(try ownFolder().hasPrefix("/"))
    }
}

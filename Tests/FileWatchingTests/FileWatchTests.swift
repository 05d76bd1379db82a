import FileWatching
import Foundation
import Synchronization
import TestFiles
import Testing

/// A watch whose news are counted.
private final class Listener: Sendable {
    /// How many came, and how many of them a test has asked for.
    private let counts = Mutex((news: 0, heard: 0))
    private let task = Mutex<Task<Void, any Error>?>(nil)

    init(_ paths: String..., quiet: Duration = .milliseconds(20)) {
        let watch = FileWatch(paths: paths, quiet: quiet)
        task.withLock { task in
            task = Task { [weak self] in
                for try await _ in watch { self?.counts.withLock { $0.news += 1 } }
            }
        }
    }

    deinit { task.withLock { $0?.cancel() } }

    private var waiting: Int { counts.withLock { $0.news - $0.heard } }

    /// Waits for news and for calm after it; false when none comes within `limit`: minutes, for all other tests run beside it.
    func hears(within limit: Duration = .seconds(240)) async throws -> Bool {
        let end = ContinuousClock.now + limit
        while waiting == 0 {
            if ContinuousClock.now > end { return false }
            try await Task.sleep(for: .milliseconds(2))
        }
        var last = 0
        while last < waiting {
            last = waiting
            try await Task.sleep(for: .milliseconds(100))
        }
        counts.withLock { $0.heard += last }
        return true
    }

    /// Whether nothing comes for a while.
    func hearsNothing() async throws -> Bool { try await !hears(within: .milliseconds(250)) }

    /// News until there is calm.
    func newsUntilCalm() async throws -> Int {
        let before = counts.withLock { $0.heard }
        guard try await hears() else { return 0 }
        return counts.withLock { $0.heard } - before
    }
}

@Suite struct FileWatchTests {
    private let temporary: TemporaryFolder

    init() throws { temporary = try TemporaryFolder() }

    @Test func beginsWithNews() async throws {
        let listener = Listener(temporary.path)
        #expect(try await listener.hears())
        #expect(try await listener.hearsNothing())
    }

    @Test func filesComeChangeAndGo() async throws {
        let listener = Listener(temporary.path)
        #expect(try await listener.hears())
        try temporary.write("a.yaml", "1")
        #expect(try await listener.hears())
        try temporary.write("a.yaml", "2")
        #expect(try await listener.hears())
        try temporary.rename("a.yaml", "b.yaml")
        #expect(try await listener.hears())
        try temporary.remove("b.yaml")
        #expect(try await listener.hears())
        #expect(try await listener.hearsNothing())
    }

    @Test func aFileReplacedByRenameIsStillWatched() async throws {
        try temporary.write("document.json", "1")
        let listener = Listener(temporary("document.json"))
        #expect(try await listener.hears())
        for round in 0..<3 {
            try temporary.write("new", "\(round)")
            try temporary.rename("new", "document.json")
            #expect(try await listener.hears())
        }
        try temporary.write("document.json", "in place")
        #expect(try await listener.hears())
    }

    @Test func aFilesNeighboursAreNoNews() async throws {
        try temporary.write("document.json", "1")
        let listener = Listener(temporary("document.json"))
        #expect(try await listener.hears())
        try temporary.write("other.json", "1")
        try temporary.remove("other.json")
        #expect(try await listener.hearsNothing())
    }

    /// As the kubelet updates a volume: a new folder, a new link beside it, renamed over `..data`.
    @Test func aConfigMapsSwapIsSeen() async throws {
        try temporary.makeFolder("..1")
        try temporary.write("..1/document.json", "1")
        try temporary.link("..data", to: "..1")
        try temporary.link("document.json", to: "..data/document.json")
        let listener = Listener(temporary("document.json"))
        #expect(try await listener.hears())
        for round in 2...4 {
            try temporary.makeFolder("..\(round)")
            try temporary.write("..\(round)/document.json", "\(round)")
            try temporary.link("..data_tmp", to: "..\(round)")
            try temporary.rename("..data_tmp", "..data")
            #expect(try await listener.hears())
            try temporary.remove("..\(round - 1)/document.json")
            try temporary.removeFolder("..\(round - 1)")
        }
        try temporary.write("..4/document.json", "in place")
        #expect(try await listener.hears())
    }

    @Test func aFileThatComesLaterIsSeen() async throws {
        let listener = Listener(temporary("a/b/key"))
        #expect(try await listener.hears())
        try temporary.makeFolder("a")
        #expect(try await listener.hears())
        try temporary.makeFolder("a/b")
        try temporary.write("a/b/key", "1")
        #expect(try await listener.hears())
        try temporary.write("a/b/key", "2")
        #expect(try await listener.hears())
    }

    @Test func aFolderDeletedAndMadeAgainIsSeen() async throws {
        try temporary.makeFolder("manifests")
        let listener = Listener(temporary("manifests"))
        #expect(try await listener.hears())
        try temporary.removeFolder("manifests")
        #expect(try await listener.hears())
        try temporary.makeFolder("manifests")
        #expect(try await listener.hears())
        try temporary.write("manifests/a.yaml", "1")
        #expect(try await listener.hears())
    }

    @Test func aFolderMovedAboveIsSeen() async throws {
        try temporary.makeFolder("a")
        try temporary.makeFolder("a/manifests")
        try temporary.makeFolder("b")
        try temporary.makeFolder("b/manifests")
        let listener = Listener(temporary("a/manifests"))
        #expect(try await listener.hears())
        try temporary.rename("a", "old")
        try temporary.rename("b", "a")
        #expect(try await listener.hears())
        try temporary.write("a/manifests/x.yaml", "1")
        #expect(try await listener.hears())
        try temporary.write("old/manifests/x.yaml", "1")
        #expect(try await listener.hearsNothing())
    }

    @Test func subFoldersCountAndHiddenOnesDoNot() async throws {
        try temporary.makeFolder("sub")
        try temporary.makeFolder(".git")
        let listener = Listener(temporary.path)
        #expect(try await listener.hears())
        try temporary.write("sub/a.yaml", "1")
        #expect(try await listener.hears())
        try temporary.makeFolder("sub/deeper")
        #expect(try await listener.hears())
        try temporary.write("sub/deeper/a.yaml", "1")
        #expect(try await listener.hears())
        try temporary.write(".git/index", "1")
        #expect(try await listener.hearsNothing())
    }

    @Test func filesLinkedFromElsewhereCount() async throws {
        try temporary.makeFolder("manifests")
        try temporary.makeFolder("elsewhere")
        try temporary.write("elsewhere/a.yaml", "1")
        try temporary.link("manifests/a.yaml", to: "../elsewhere/a.yaml")
        let listener = Listener(temporary("manifests"))
        #expect(try await listener.hears())
        try temporary.write("elsewhere/a.yaml", "2")
        #expect(try await listener.hears())
        try temporary.write("elsewhere/b.yaml", "2")
        #expect(try await listener.hearsNothing())
    }

    @Test func linksInALoopEnd() async throws {
        try temporary.link("a", to: "b")
        try temporary.link("b", to: "a")
        try temporary.link("here", to: ".")
        let listener = Listener(temporary("a"), temporary.path)
        #expect(try await listener.hears())
        try temporary.write("x.yaml", "1")
        #expect(try await listener.hears())
    }

    @Test func manyChangesAreFewNews() async throws {
        let listener = Listener(temporary.path, quiet: .milliseconds(50))
        #expect(try await listener.hears())
        for number in 0..<300 { try temporary.write("\(number).yaml", "1") }
        #expect((1...4).contains(try await listener.newsUntilCalm()))
    }

    @Test func constantChangesAreToldOfAllTheSame() async throws {
        let listener = Listener(temporary.path, quiet: .milliseconds(50))
        #expect(try await listener.hears())
        let temporary = self.temporary
        let writer = Task {
            while !Task.isCancelled {
                try temporary.write("a.yaml", "1")
                try await Task.sleep(for: .milliseconds(10))
            }
        }
        #expect(try await listener.hears())
        writer.cancel()
        _ = await writer.result
    }

    @Test func cancellationEndsIt() async throws {
        let path = temporary.path
        let task = Task {
            var count = 0
            for try await _ in FileWatch(paths: [path]) { count += 1 }
            return count
        }
        try await Task.sleep(for: .milliseconds(100))
        task.cancel()
        #expect(try await task.value <= 1)
    }

    @Test func nothingIsLeftOpen() async throws {
        // Not all descriptors: other tests of this process open thousands.
        func descriptors() -> Int {
            TemporaryFolder.names(in: "/proc/self/fd").count {
                (try? FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/fd/\($0)")) == "anon_inode:inotify"
            }
        }
        let path = temporary.path
        func watchOnce() async throws {
            let task = Task { for try await _ in FileWatch(paths: [path]) {} }
            try await Task.sleep(for: .milliseconds(20))
            task.cancel()
            _ = await task.result
        }
        try await watchOnce()
        let before = descriptors()
        for _ in 0..<30 { try await watchOnce() }
        // Other tests of this process watch files too, but never so many.
        try await Task.sleep(for: .milliseconds(200))
        #expect(descriptors() < before + 25)
    }

    @Test func relativePathsAreThoseOfTheMoment() async throws {
        let listener = Listener("no/such/folder")
        #expect(try await listener.hears())
    }
}

import Glibc
import TestFiles
import Testing

@testable import FileWatching

@Suite struct InotifyTests {
    private let temporary: TemporaryFolder

    init() throws { temporary = try TemporaryFolder() }

    /// Watches one name that does not exist.
    private func watchedName(_ name: String) throws -> Inotify {
        var plan = WatchPlan()
        plan.add(path: temporary(name))
        let inotify = try Inotify()
        try inotify.watch(plan)
        return inotify
    }

    @Test func onlyTheNameThatLeadsOnConcerns() throws {
        let inotify = try watchedName("wanted")
        #expect(try inotify.drain() == false)
        try temporary.write("other", "")
        #expect(try inotify.drain() == false)
        try temporary.write("wanted", "")
        #expect(try inotify.drain())
        #expect(try inotify.drain() == false)
    }

    /// With the kernel's queue full, events of names that concern nobody are news: others were lost with them.
    @Test func anOverflowConcerns() throws {
        let text = try #require(TemporaryFolder.read(from: "/proc/sys/fs/inotify/max_queued_events"))
        let limit = try #require(Int(text.filter(\.isNumber)))
        // Each makes and deletes a file: two events at least. Beyond this limit the test would take long.
        try #require(limit <= 100_000)
        let inotify = try watchedName("wanted")
        for number in 0...limit / 2 {
            let name = number.isMultiple(of: 2) ? "a" : "b"
            try temporary.write(name, "")
            try temporary.remove(name)
        }
        #expect(try inotify.drain())
        #expect(try inotify.drain() == false)
    }

    @Test func errorsSayWhatToDo() {
        #expect(FileWatchError("inotify_init1", code: EMFILE).description.contains("max_user_instances"))
        #expect(FileWatchError("inotify_add_watch", path: "/a", code: ENOSPC).description.contains("max_user_watches"))
    }
}

import Glibc
import Syscalls
import TestFiles
import Testing

@Suite struct DescriptorTests {
    private let folder: TemporaryFolder

    init() throws { folder = try TemporaryFolder() }

    private func failure(_ body: () throws(SystemFailure) -> Void) -> SystemFailure? {
        do throws(SystemFailure) {
            try body()
            return nil
        } catch {
            return error
        }
    }

    @Test func saysWhichCallFailedAndHow() {
        let missing = failure { () throws(SystemFailure) in _ = try Descriptor.open(folder("none"), O_RDONLY) }
        #expect(missing == SystemFailure("open", ENOENT))
        #expect(missing?.isMissing == true)
        #expect(missing.map { "\($0)" } == "open: No such file or directory")
        let folderForFile = failure { () throws(SystemFailure) in _ = try Descriptor.contents(of: folder.path, limit: 100) }
        #expect(folderForFile == SystemFailure("read", EISDIR))
    }

    @Test func aZeroInAPathEndsNoPath() throws {
        try folder.write("file", "x")
        #expect(failure { () throws(SystemFailure) in _ = try Descriptor.open(folder("file\0.tmp"), O_RDONLY) }?.code == EINVAL)
    }

    @Test func closesWhatItOwnsAlone() throws {
        let path = try folder.write("file", "x")
        var file: Descriptor? = try Descriptor.open(path, O_RDONLY)
        let number = try #require(file?.number)
        do { _ = Descriptor(borrowing: number) }
        #expect(fcntl(number, F_GETFD) == FD_CLOEXEC, "a borrower closed it")
        file = nil
        // Another test may have got the number since.
        #expect((try? readLink("/proc/self/fd/\(number)")) != path)
    }

    /// A pipe takes 64 KiB, and less while somebody reads slowly.
    @Test(.timeLimit(.minutes(1))) func writesAllThoughAPipeTakesParts() throws {
        let bytes = (0..<1_000_000).map { UInt8(truncatingIfNeeded: $0 &* 7) }
        let output = try pipe(with: bytes)
        var read: [UInt8] = []
        var buffer = [UInt8](repeating: 0, count: 3001)
        while case let count = try output.read(into: &buffer), count > 0 { read += buffer[..<count] }
        #expect(read == bytes)
    }

    @Test(.timeLimit(.minutes(1))) func readsToTheEndOfWhatTellsNoLength() throws {
        let bytes = (0..<300_001).map { UInt8(truncatingIfNeeded: $0 &* 11) }
        #expect(try pipe(with: bytes).readAll(limit: 300_001) == bytes)
        #expect(try !Descriptor.contents(of: "/proc/self/limits", limit: 1 << 20).isEmpty)
    }

    /// Its input is closed when all is written.
    private func pipe(with bytes: [UInt8]) throws -> Descriptor {
        let (output, input) = try Descriptor.pipe()
        onAThread { try? input.writeAll(bytes) }
        return output
    }

    @Test func aLimitIsTheLastLengthThatIsTaken() throws {
        let path = try folder.write("file", [UInt8](repeating: 7, count: 100_000))
        #expect(try Descriptor.contents(of: path, limit: 100_000).count == 100_000)
        for limit in [99_999, 5000, 1, 0] {
            #expect(failure { () throws(SystemFailure) in _ = try Descriptor.contents(of: path, limit: limit) }?.code == EFBIG)
        }
        #expect(truncate(path, 1 << 42) == 0)
        for endless in [path, "/dev/zero"] {
            let tooLong = failure { () throws(SystemFailure) in _ = try Descriptor.contents(of: endless, limit: 1 << 20) }
            #expect(tooLong?.code == EFBIG)
        }
        #expect(try Descriptor.contents(of: try folder.write("empty", ""), limit: 0) == [])
    }

    @Test func readsInBlocks() throws {
        let bytes = (0..<(2 << 20) + 5).map { UInt8(truncatingIfNeeded: $0 &* 3) }
        var read: [UInt8] = []
        try Descriptor.open(try folder.write("file", bytes), O_RDONLY).readBlocks { read += $0 }
        #expect(read == bytes)
    }

    /// From a folder's descriptor: no link leads elsewhere, and a pipe without a writer holds nobody up.
    @Test(.timeLimit(.minutes(1))) func opensBelowAFolderWithoutLinksAndWithoutWaiting() throws {
        try folder.write("secret", "s")
        try folder.write("inner/file", "f")
        try folder.link("inner/link", to: folder("secret"))
        #expect(mkfifo(folder("inner/pipe"), 0o600) == 0)
        let inner = try Descriptor.open(folder("inner"), O_RDONLY | O_DIRECTORY | O_NOFOLLOW)
        // The name leads elsewhere meanwhile; the descriptor does not.
        try folder.rename("inner", "moved")
        #expect(try Descriptor.open("file", O_RDONLY | O_NOFOLLOW, in: inner).readAll(limit: 10) == Array("f".utf8))
        let link = failure { () throws(SystemFailure) in _ = try Descriptor.open("link", O_RDONLY | O_NOFOLLOW, in: inner) }
        #expect(link?.code == ELOOP)
        let pipe = try Descriptor.open("pipe", O_RDONLY | O_NOFOLLOW, in: inner)
        #expect(try FileKind(pipe.status()) == .other)
        let unread = failure { () throws(SystemFailure) in _ = try Descriptor.open("pipe", O_WRONLY, in: inner) }
        #expect(unread == nil || unread?.code == ENXIO)
    }

    /// A signal that interrupts read(2), for its handler has no SA_RESTART, is nothing that the reader hears of.
    @Test(.timeLimit(.minutes(1))) func aSignalInterruptsNoReading() async throws {
        interruptions.number.pointee = 0
        var action = sigaction()
        action.__sigaction_handler.sa_handler = { _ in interruptions.number.pointee += 1 }
        try #require(sigaction(SIGUSR2, &action, nil) == 0)
        let (output, input) = try Descriptor.pipe()
        let read = await withCheckedContinuation { done in
            onAThread {
                // Those of Swift's tasks have all signals blocked, and this one comes of them.
                var signals = sigset_t()
                sigemptyset(&signals)
                sigaddset(&signals, SIGUSR2)
                pthread_sigmask(SIG_UNBLOCK, &signals, nil)
                let reader = pthread_self()
                onAThread {
                    for _ in 0..<20 {
                        usleep(5000)
                        pthread_kill(reader, SIGUSR2)
                    }
                    try? input.writeAll([42])
                }
                var buffer: [UInt8] = [0]
                done.resume(returning: (try? output.read(into: &buffer)).map { Array(buffer[..<$0]) })
            }
        }
        #expect(read == [42])
        #expect(interruptions.number.pointee > 0, "no signal came, so nothing was tried")
    }

    @Test func errnoIsOfTheCallThatFailed() {
        let failure = failure { () throws(SystemFailure) in
            try calling("one") {
                errno = EBADMSG
                return -1 as Int
            }
        }
        #expect(failure == SystemFailure("one", EBADMSG))
        var calls = 0
        let again = try? calling("two") {
            calls += 1
            errno = EINTR
            return calls < 3 ? -1 as Int32 : 7
        }
        #expect(again == 7 && calls == 3)
    }
}

/// What a signal's handler may do: count.
private struct Interruptions: @unchecked Sendable {
    let number = UnsafeMutablePointer<Int>.allocate(capacity: 1)
}
private let interruptions = Interruptions()

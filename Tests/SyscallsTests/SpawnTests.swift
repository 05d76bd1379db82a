import Glibc
import Syscalls
import TestFiles
import Testing

@Suite struct SpawnTests {
    private func run(_ script: String, _ change: (inout Spawn) -> Void = { _ in }) throws -> (text: String, ending: Ending) {
        let (output, input) = try Descriptor.pipe()
        let child: Int32
        do {
            var spawn = Spawn("/bin/sh", ["-c", script], environment: ["NAME=value"])
            spawn.output = input
            change(&spawn)
            child = try spawn.start()
        }
        let ending = try waitForEnd(of: child)
        _ = fcntl(output.number, F_SETFL, O_NONBLOCK)
        var buffer = [UInt8](repeating: 0, count: 65536)
        let count = (try? output.read(into: &buffer)) ?? 0
        return (String(decoding: buffer[..<count], as: UTF8.self), ending)
    }

    @Test func runsWithItsEnvironmentInItsFolder() throws {
        #expect(try run("pwd; echo $NAME $HOME; exit 3") { $0.folder = "/usr" } == ("/usr\nvalue\n", Ending(status: 3 << 8)))
        #expect(try run("kill -9 $$").ending.signal == 9)
        #expect(try run("cat").ending.exitCode == 0, "there is no standard input")
    }

    @Test func inheritsNoDescriptorAndNoSignal() throws {
        // As the agent does; a test's process has it so or so.
        signal(SIGHUP, SIG_IGN)
        defer { signal(SIGHUP, SIG_DFL) }
        let leaked = open("/dev/null", O_RDONLY)
        defer { close(leaked) }
        #expect(try run("ls /proc/self/fd | wc -l").text.split(separator: "\n").first == "4", "0, 1, 2 and ls's own folder")
        let status = try run("grep -E '^Sig(Blk|Ign):' /proc/self/status").text.split(separator: "\n")
        let masks = status.compactMap { UInt64($0.suffix(16), radix: 16) }
        // 32 and 33 are glibc's own, and stay as whoever started the tests has them.
        #expect(masks.count == 2 && masks.allSatisfy { $0 & ~(3 << 31) == 0 }, "\(status)")
    }

    @Test func aSessionOfItsOwn() throws {
        // proc_pid_stat(5): number, name, state, parent, group, session.
        let script = "read -r pid name state parent group session rest </proc/self/stat; [ $pid = $session ]"
        #expect(try run(script) { $0.startsSession = true }.ending.exitCode == 0)
        #expect(try run(script).ending.exitCode == 1)
    }

    @Test func whatIsNoProgramFailsAtOnce() throws {
        #expect { try Spawn("/nonexistent", [], environment: []).start() } throws: {
            ($0 as? SystemFailure) == SystemFailure("posix_spawn", ENOENT)
        }
        #expect { try Spawn("sh", ["-c", "exit 0"], environment: []).start() } throws: { $0 is SystemFailure }
        var searching = Spawn("sh", ["-c", "exit 4"], environment: [])
        searching.searchesPath = true
        #expect(try waitForEnd(of: searching.start()).exitCode == 4)
        #expect(replaceProcess("/nonexistent", ["x"]) == SystemFailure("execv", ENOENT))
    }

    @Test func tellsOfAChildThatEnded() throws {
        let child = try Spawn("/bin/sh", ["-c", "sleep 0.2; exit 5"], environment: []).start()
        #expect(try endedChild(child) == nil)
        var ended: (process: Int32, ending: Ending)?
        while ended == nil { ended = try endedChild(child) }
        #expect(ended?.process == child && ended?.ending.exitCode == 5)
        #expect { try endedChild(child) } throws: { ($0 as? SystemFailure) == SystemFailure("waitpid", ECHILD) }
    }

    // MARK: to the end

    private func gather(
        _ script: String, _ errors: Spawn.Errors = .apart, limit: Int = 1 << 20, seconds: Int = 30,
        isStopped: (Int) -> Bool = { _ in false }
    ) throws -> Finished? {
        try Spawn("/bin/sh", ["-c", script], environment: []).run(
            errors, limit: limit, until: .now + .seconds(seconds), isStopped: isStopped)
    }

    @Test(.timeLimit(.minutes(1))) func gathersWhatIsPrinted() throws {
        let script = "head -c 300000 /dev/zero; echo out; echo err >&2; exit 3"
        let apart = try #require(try gather(script))
        #expect(apart.ending.exitCode == 3)
        #expect(apart.output == [UInt8](repeating: 0, count: 300_000) + Array("out\n".utf8))
        #expect(apart.errors == Array("err\n".utf8))
        let together = try #require(try gather(script, .withOutput))
        #expect(together.output.suffix(8) == Array("out\nerr\n".utf8)[...])
        #expect(together.errors == [])
    }

    @Test(.timeLimit(.minutes(1))) func keepsNoMoreThanItsLimit() throws {
        let much = try #require(try gather("head -c 100000000 /dev/zero; exit 4", limit: 1000))
        #expect((1000...1000 + 65536).contains(much.output.count))
        #expect(much.ending.exitCode == 4)
    }

    /// Such as wireguard-go, which keeps what it was given to print to.
    @Test(.timeLimit(.minutes(1))) func doesNotWaitForWhatStaysInTheBackground() throws {
        let begin = ContinuousClock.now
        let finished = try #require(try gather("sleep 50 & echo $!"))
        #expect(ContinuousClock.now - begin < .seconds(20))
        let number = try #require(Int32(String(decoding: finished.output.dropLast(), as: UTF8.self)))
        #expect(kill(number, SIGKILL) == 0, "it went on")
    }

    @Test(.timeLimit(.minutes(1))) func killsWhatIsLateOrStopped() throws {
        #expect(try gather("exec sleep 50", seconds: 1)?.output == nil)
        #expect(try gather("exec >&- 2>&-; exec sleep 50", seconds: 1)?.output == nil, "though it has closed its output")
        #expect(try gather("exec cat /dev/zero", isStopped: { $0 > 100_000 })?.output == nil)
    }
}

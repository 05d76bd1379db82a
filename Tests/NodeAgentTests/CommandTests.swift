import Testing

@testable import NodeAgent

@Suite struct CommandTests {
    @Test func givesOutputErrorsAndStatus() throws {
        let result = try Command("/bin/sh", ["-c", "echo out; echo err >&2; exit 3"]).run()
        #expect(result == CommandResult(status: 3, output: "out\n", errors: "err\n"))
        #expect(!result.succeeded)
        #expect(result.complaint == "exit status 3: err")
    }

    @Test func argumentsReachTheProgramAsTheyAre() throws {
        let text = "$(reboot) `x` \"q\" \n ; *"
        #expect(try Command("/bin/echo", [text]).run().output == text + "\n")
    }

    @Test func runsInItsFolderWithAFixedEnvironment() throws {
        #expect(try Command("/bin/sh", ["-c", "pwd; echo $LC_ALL $HOME"], folder: "/usr").run().output == "/usr\nC\n")
    }

    @Test func muchOutputOnBothIsRead() throws {
        let result = try Command("/bin/sh", ["-c", "head -c 3000000 /dev/zero; head -c 3000000 /dev/zero >&2"]).run()
        #expect(result.succeeded)
        #expect((1 << 20..<3_000_000).contains(result.output.utf8.count))
    }

    @Test func signalsAndMissingPrograms() throws {
        #expect(try Command("/bin/sh", ["-c", "kill -9 $$"]).run().status == 137)
        #expect(throws: AgentError.self) { try Command("/nonexistent", []).run() }
    }

    @Test func slowProgramIsKilled() throws {
        let begin = ContinuousClock.now
        #expect { _ = try Command("/bin/sleep", ["60"], timeoutSeconds: 1).run() } throws: {
            "\($0)".contains("did not end within 1 s")
        }
        #expect(ContinuousClock.now - begin < .seconds(10))
    }
}

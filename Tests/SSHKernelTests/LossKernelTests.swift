import Foundation
import Glibc
import NetworkTypes
import Testing

@testable import SSH

/// Commands that are cut off, by either side.
struct LossKernelTests {
    /// Runs `body` with a connection and returns how it failed and how long that took.
    private func loss(
        of server: TestServer, timeouts: SSHTimeouts = SSHTimeouts(connect: .seconds(20)),
        _ body: @Sendable (SSHConnection) async throws(SSHError) -> ExecResult
    ) async throws -> (SSHError, Duration) {
        let connection = try await server.connect(timeouts: timeouts)
        let started = ContinuousClock.now
        let outcome: Result<ExecResult, SSHError>
        do throws(SSHError) { outcome = .success(try await body(connection)) } catch { outcome = .failure(error) }
        let time = ContinuousClock.now - started
        guard case .failure(let error) = outcome else {
            throw CommandFailed(program: "execute", arguments: [], output: "\(outcome)")
        }
        #expect(!connection.isAlive)
        let later = await #expect(throws: SSHError.self) { try await connection.execute("true") }
        switch later?.reason {
        case .connectionLost, .idleTimedOut: break
        default: Issue.record("\(String(describing: later))")
        }
        return (error, time)
    }

    @Test func aPushCutInTheMiddleIsLost() async throws {
        let server = try TestServer()
        let push = Push(count: 1 << 30)
        let killer = Task {
            try await Task.sleep(for: .milliseconds(700))
            server.signalChildren(SIGKILL)
        }
        let (error, time) = try await loss(of: server) { connection throws(SSHError) in
            try await connection.execute("cat >/dev/null", input: .reading(push.read))
        }
        try await killer.value
        guard case .connectionLost(during: .running(command: "cat >/dev/null"), _) = error.reason else {
            Issue.record("\(error)")
            return
        }
        #expect(time < .seconds(30))
    }

    @Test func aServerThatStopsIsNoticed() async throws {
        for input in [ByteSource.empty, .reading(Push(count: 1 << 30).read)] {
            let server = try TestServer()
            let stopper = Task {
                try await Task.sleep(for: .milliseconds(300))
                server.signalChildren(SIGSTOP)
            }
            let (error, time) = try await loss(
                of: server, timeouts: SSHTimeouts(connect: .seconds(20), idle: .seconds(3), keepalive: .seconds(2))
            ) { connection throws(SSHError) in
                try await connection.execute("cat >/dev/null; sleep 60", input: input)
            }
            try await stopper.value
            #expect(error.reason == .idleTimedOut(during: .running(command: "cat >/dev/null; sleep 60"), after: .seconds(3)))
            #expect(time < .seconds(30))
        }
    }

    /// Keepalives are answered all the while.
    @Test func aSlowCommandIsNoSilence() async throws {
        let connection = try await TestServer().connect(
            timeouts: SSHTimeouts(connect: .seconds(20), idle: .seconds(3), keepalive: .seconds(2)))
        #expect(try await connection.execute("sleep 7; echo slow").standardOutput == Array("slow\n".utf8))
        await connection.close()
    }

    @Test func aCommandMayNotTakeTooLong() async throws {
        for command: RemoteCommand in ["sleep 60", "cat /dev/zero"] {
            let (error, time) = try await loss(of: TestServer()) { connection throws(SSHError) in
                try await connection.execute(command, limits: ExecLimits(timeout: .seconds(1))) { _ in }
            }
            #expect(error.reason == .commandTimedOut(command: "\(command)", after: .seconds(1)))
            #expect(time < .seconds(30))
        }
    }

    @Test func tooMuchOutputIsAnError() async throws {
        for command: RemoteCommand in ["cat /dev/zero", "cat /dev/zero >&2"] {
            let (error, _) = try await loss(of: TestServer()) { connection throws(SSHError) in
                try await connection.execute(command, limits: ExecLimits(output: 1 << 20))
            }
            #expect(error.reason == .outputTooLarge(command: "\(command)", limit: 1 << 20))
        }
    }

    @Test func inputThatCannotBeReadIsAnError() async throws {
        let (error, _) = try await loss(of: TestServer()) { connection throws(SSHError) in
            try await connection.execute("cat", input: .bytes([65]) + .file(path: "/nonexistent"))
        }
        #expect(error.reason == .inputFailed(command: "cat", "open /nonexistent: No such file or directory"))
    }

    @Test func aRunningCommandIsCancelledPromptly() async throws {
        for command: RemoteCommand in ["sleep 60", "cat /dev/zero"] {
            let server = try TestServer()
            let connection = try await server.connect()
            let task = Task { () throws(SSHError) in try await connection.execute(command) { _ in } }
            while server.logged("Starting session: command") == 0 { try await Task.sleep(for: .milliseconds(10)) }
            let started = ContinuousClock.now
            task.cancel()
            let error = await #expect(throws: SSHError.self) { try await task.value }
            #expect(error?.reason == .cancelled(during: .running(command: "\(command)")))
            #expect(ContinuousClock.now - started < .seconds(30))
            #expect(!connection.isAlive)
        }
    }

    @Test func aWaitingCommandIsCancelledAlone() async throws {
        let server = try TestServer()
        let connection = try await server.connect()
        let first = Task { () throws(SSHError) in
            try await connection.execute("while ! test -e go; do sleep 0.05; done; echo first")
        }
        while connection.statistics.execs == 0 { try await Task.sleep(for: .milliseconds(10)) }
        let second = Task { () throws(SSHError) in try await connection.execute("echo second") }
        try await Task.sleep(for: .milliseconds(100))
        second.cancel()
        let error = await #expect(throws: SSHError.self) { try await second.value }
        #expect(error?.reason == .cancelled(during: .running(command: "echo second")))
        // Commands start in the home of the login, which is the server's folder.
        try "".write(toFile: server.folder + "/go", atomically: false, encoding: .utf8)
        #expect(try await first.value.standardOutput == Array("first\n".utf8))
        #expect(try await connection.execute("echo third").standardOutput == Array("third\n".utf8))
        #expect(connection.statistics.execs == 2)
        await connection.close()
    }

    @Test func closingEndsWhatRunsAndWhatWaits() async throws {
        let connection = try await TestServer().connect()
        let tasks = (0..<3).map { _ in Task { () throws(SSHError) in try await connection.execute("sleep 60") } }
        try await Task.sleep(for: .milliseconds(300))
        let started = ContinuousClock.now
        await connection.close()
        for task in tasks {
            let error = await #expect(throws: SSHError.self) { try await task.value }
            #expect(error?.reason == .closed)
        }
        #expect(ContinuousClock.now - started < .seconds(30))
        let error = await #expect(throws: SSHError.self) { try await connection.execute("true") }
        #expect(error?.reason == .closed)
        await connection.close()
    }

    @Test func aServerThatGoesWhileIdleIsNoticed() async throws {
        let server = try TestServer()
        let connection = try await server.connect()
        #expect(try await connection.execute("true").status == 0)
        server.signalChildren(SIGKILL)
        for _ in 0..<300 where connection.isAlive { try await Task.sleep(for: .milliseconds(10)) }
        #expect(!connection.isAlive)
        let error = await #expect(throws: SSHError.self) { try await connection.execute("true") }
        guard case .connectionLost(during: .idle, _) = error?.reason else {
            Issue.record("\(String(describing: error))")
            return
        }
    }

    @Test func theLastReferenceEndsTheConnection() async throws {
        let server = try TestServer()
        for _ in 0..<30 {
            let connection = try await server.connect()
            #expect(try await connection.execute("true").status == 0)
        }
        for _ in 0..<500 where !server.children.isEmpty { try await Task.sleep(for: .milliseconds(10)) }
        #expect(server.children.isEmpty)
    }

    /// Who is told of the end may end the process, which must find OpenSSL unused.
    @Test func theSessionIsGoneWhenItsEndIsTold() async throws {
        let server = try TestServer()
        for _ in 0..<20 {
            let before = openSockets()
            let closed = try await server.connect()
            let failed = try await server.connect()
            let ours = openSockets().subtracting(before)
            #expect(ours.count >= 2)
            await closed.close()
            let error = await #expect(throws: SSHError.self) {
                try await failed.execute("echo too much", limits: ExecLimits(output: 1))
            }
            #expect(openSockets().isDisjoint(with: ours))
            #expect(error?.reason == .outputTooLarge(command: "echo too much", limit: 1))
        }
    }

    /// As /proc/self/fd names them, by inode.
    private func openSockets() -> Set<String> {
        let links = (try? FileManager.default.contentsOfDirectory(atPath: "/proc/self/fd")) ?? []
        let targets = links.compactMap { try? FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/fd/\($0)") }
        return Set(targets.filter { $0.hasPrefix("socket:") })
    }
}

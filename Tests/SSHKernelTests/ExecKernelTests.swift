import Foundation
import NetworkTypes
import Sodium
import Synchronization
import Testing

@testable import SSH

/// Commands that end by themselves.
@Suite(.serialized) struct ExecKernelTests {
    /// Whatever a thread starts is in its namespace: Swift's pool too, where a connection's thread resumes a task, and then tests of
    /// other modules open their sockets there.
    @Test func noThreadStaysInANamespace() async throws {
        let server = try TestServer()
        let connection = try await server.connect()
        func namespaces() -> Set<String> {
            let threads = (try? FileManager.default.contentsOfDirectory(atPath: "/proc/self/task")) ?? []
            return Set(
                threads.compactMap { try? FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/task/\($0)/ns/net") })
        }
        // The thread that made the socket is about to end.
        for _ in 0..<50 where namespaces().count > 1 { try await Task.sleep(for: .milliseconds(20)) }
        #expect(namespaces().count == 1)
        await connection.close()
    }

    @Test func outputErrorAndStatusComeBack() async throws {
        let connection = try await TestServer().connect()
        let result = try await connection.execute("echo out; echo err >&2; exit 7")
        #expect(
            result
                == ExecResult(
                    status: 7, signal: nil, standardOutput: Array("out\n".utf8), standardError: Array("err\n".utf8),
                    inputBytesSent: 0))
        #expect(try await connection.execute("true").status == 0)
        #expect(connection.isAlive)
        await connection.close()
        #expect(!connection.isAlive)
    }

    @Test func aSignalIsNamed() async throws {
        let connection = try await TestServer().connect()
        let result = try await connection.execute("kill -KILL $$")
        #expect(result.status == nil && result.signal == "KILL")
        #expect(try await connection.execute("exit 3").status == 3)
        await connection.close()
    }

    @Test func inputOfAllKindsArrivesInOrder() async throws {
        let server = try TestServer()
        let connection = try await server.connect()
        let text = String(repeating: "0123456789", count: 20000)
        try text.write(toFile: server.folder + "/input", atomically: false, encoding: .utf8)
        let source =
            try .bytes(Array("head ".utf8)) + .secret(SecretBytes(copying: Array("secret ".utf8)))
            + .file(path: server.folder + "/input")
        let result = try await connection.execute("cat", input: source)
        #expect(String(decoding: result.standardOutput, as: UTF8.self) == "head secret " + text)
        #expect(result.inputBytesSent == 12 + text.utf8.count)
        #expect(try await connection.execute("cat").standardOutput == [])
        await connection.close()
    }

    /// 100 MiB by a reader that makes them, checked by length and SHA-256, without ever being in memory.
    @Test func aLargePushArrivesIntact() async throws {
        let server = try TestServer()
        let connection = try await server.connect()
        let push = Push(count: 100 << 20)
        let result = try await connection.execute("sha256sum; true", input: .reading(push.read))
        #expect(result.inputBytesSent == 100 << 20)
        let digest = String(decoding: result.standardOutput.prefix(64), as: UTF8.self)
        #expect(digest == push.digest.description)
        await connection.close()
    }

    @Test func largeOutputStreams() async throws {
        let connection = try await TestServer().connect()
        let seen = Mutex((output: 0, error: 0, isWrong: false))
        let result = try await connection.execute("head -c 20000000 /dev/zero; head -c 300000 /dev/zero >&2") { piece in
            seen.withLock {
                switch piece {
                case .standardOutput(let bytes):
                    $0.output += bytes.count
                    $0.isWrong = $0.isWrong || bytes.contains { $0 != 0 }
                case .standardError(let bytes): $0.error += bytes.count
                }
            }
        }
        #expect(seen.withLock { $0.output == 20_000_000 && $0.error == 300_000 && !$0.isWrong })
        #expect(result.standardOutput.isEmpty && result.status == 0)
        await connection.close()
    }

    @Test func bothDirectionsStreamAtOnce() async throws {
        let connection = try await TestServer().connect()
        let push = Push(count: 30 << 20)
        let received = Mutex(SHA256())
        let result = try await connection.execute("cat", input: .reading(push.read)) { piece in
            if case .standardOutput(let bytes) = piece { received.withLock { $0.update(bytes) } }
        }
        #expect(result.status == 0)
        let digest = received.withLock { hash in
            let copy = hash
            return copy.finish()
        }
        #expect(digest == push.digest)
        await connection.close()
    }

    @Test func aCommandThatLeavesItsInputEndsAtOnce() async throws {
        let connection = try await TestServer().connect()
        let push = Push(count: 50 << 20)
        let result = try await connection.execute("head -c 5 >/dev/null; exit 4", input: .reading(push.read))
        #expect(result.status == 4)
        #expect(result.inputBytesSent < 50 << 20)
        #expect(try await connection.execute("echo again").standardOutput == Array("again\n".utf8))
        await connection.close()
    }

    @Test func fiftyCommandsShareAConnection() async throws {
        let server = try TestServer()
        let connection = try await server.connect()
        for number in 0..<50 {
            let result = try await connection.execute("cat; exit 5", input: .bytes(Array("\(number)".utf8)))
            #expect(result.status == 5 && result.standardOutput == Array("\(number)".utf8))
        }
        #expect(connection.statistics.execs == 50)
        #expect(server.logged("Accepted publickey") == 1)
        await connection.close()
    }

    @Test func concurrentCommandsTakeTurns() async throws {
        let connection = try await TestServer().connect()
        let outputs = try await withThrowingTaskGroup(of: (Int, String).self) { group in
            for number in 0..<20 {
                group.addTask {
                    let result = try await connection.execute("cat", input: .bytes(Array("\(number)".utf8)))
                    return (number, String(decoding: result.standardOutput, as: UTF8.self))
                }
            }
            return try await group.reduce(into: [Int: String]()) { $0[$1.0] = $1.1 }
        }
        #expect(outputs.count == 20 && outputs.allSatisfy { "\($0.key)" == $0.value })
        await connection.close()
    }

    /// What a command would otherwise wait a round trip for.
    @Test func theNextChannelIsOpenBeforeACommandComes() async throws {
        let server = try TestServer("LogLevel DEBUG1")
        let connection = try await server.connect()
        for execs in 0..<3 {
            for _ in 0..<500 where server.logged("server_input_channel_open: confirm") < execs + 1 {
                try await Task.sleep(for: .milliseconds(10))
            }
            #expect(server.logged("server_input_channel_open: confirm") == execs + 1)
            #expect(server.logged("Starting session: command") == execs)
            #expect(try await connection.execute("true").status == 0)
        }
        await connection.close()
    }

    @Test func anIdleConnectionIsKept() async throws {
        let server = try TestServer("ClientAliveInterval 1\nClientAliveCountMax 2")
        let connection = try await server.connect(
            timeouts: SSHTimeouts(connect: .seconds(20), idle: .seconds(6), keepalive: .seconds(2)))
        try await Task.sleep(for: .seconds(5))
        #expect(connection.isAlive)
        #expect(try await connection.execute("echo hi").standardOutput == Array("hi\n".utf8))
        await connection.close()
    }

    /// `RekeyLimit` makes the server ask for new keys in the middle of a push, and while nothing happens.
    @Test func newKeysAreAgreedOnTheWay() async throws {
        let server = try TestServer("RekeyLimit 4M 1\nLogLevel DEBUG1")
        let connection = try await server.connect()
        let push = Push(count: 30 << 20)
        let result = try await connection.execute("sha256sum; true", input: .reading(push.read))
        #expect(String(decoding: result.standardOutput.prefix(64), as: UTF8.self) == push.digest.description)
        try await Task.sleep(for: .seconds(3))
        let big = try await connection.execute("head -c 12000000 /dev/zero")
        #expect(big.standardOutput.count == 12_000_000)
        #expect(try await connection.execute("echo hi").standardOutput == Array("hi\n".utf8))
        #expect(server.logged("SSH2_MSG_NEWKEYS received") > 3)
        await connection.close()
    }

    @Test func aServerWithFewSessionsServes() async throws {
        let one = try await TestServer("MaxSessions 1").connect()
        for _ in 0..<5 { #expect(try await one.execute("true").status == 0) }
        await one.close()

        let none = try await TestServer("MaxSessions 0").connect()
        try await Task.sleep(for: .milliseconds(300))
        for _ in 0..<2 {
            let error = await #expect(throws: SSHError.self) { try await none.execute("true") }
            guard case .channelRefused("true", _) = error?.reason else {
                Issue.record("\(String(describing: error))")
                return
            }
            #expect(none.isAlive)
        }
        await none.close()
    }

    @Test func aForcedCommandRunsInsteadOfOurs() async throws {
        let connection = try await TestServer("ForceCommand echo forced").connect()
        #expect(try await connection.execute("echo ours").standardOutput == Array("forced\n".utf8))
        await connection.close()
    }

    @Test func anUnusedChannelMayTimeOut() async throws {
        let connection = try await TestServer("ChannelTimeout session=1").connect()
        try await Task.sleep(for: .seconds(3))
        #expect(try await connection.execute("echo hi").standardOutput == Array("hi\n".utf8))
        await connection.close()
    }
}

/// Bytes that are made as they are read, and their hash.
final class Push: Sendable {
    private let state: Mutex<(left: Int, hash: SHA256, seed: UInt64)>

    init(count: Int) { state = Mutex((count, SHA256(), 42)) }

    @Sendable func read(into buffer: UnsafeMutableRawBufferPointer) -> Int {
        state.withLock { state in
            let count = min(state.left, buffer.count)
            for index in 0..<count / 8 {
                state.seed = state.seed &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
                buffer.storeBytes(of: state.seed, toByteOffset: index * 8, as: UInt64.self)
            }
            state.hash.update(UnsafeRawBufferPointer(rebasing: buffer[..<count]))
            state.left -= count
            return count
        }
    }

    /// Of all that was read so far.
    var digest: SHA256Digest {
        state.withLock { state in
            let copy = state.hash
            return copy.finish()
        }
    }
}

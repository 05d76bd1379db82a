import Glibc
import LinkProtocol
import LinkStreams
import NIOCore
import NIOPosix
import NetworkTypes
import TestLinks

private let folder = "\(#filePath)".split(separator: "/").dropLast().reduce("") { "\($0)/\($1)" } + "/Peers"

/// A program that a test starts, with its output in a pipe. It ends with the test.
final class Program: Sendable {
    private let process: pid_t
    private let output: Int32

    init(_ command: [String], environment: [String] = []) throws {
        var pipe: [Int32] = [0, 0]
        guard Glibc.pipe(&pipe) == 0 else { throw RigError(what: "pipe") }
        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        defer { posix_spawn_file_actions_destroy(&actions) }
        posix_spawn_file_actions_adddup2(&actions, pipe[1], 1)
        posix_spawn_file_actions_addclose(&actions, pipe[0])
        let arguments = command.map { strdup($0) } + [nil]
        let variables = (["PATH=/usr/bin:/bin", "HOME=/tmp"] + environment).map { strdup($0) } + [nil]
        defer { for pointer in arguments + variables { free(pointer) } }
        var process: pid_t = 0
        let code = posix_spawn(&process, command[0], &actions, nil, arguments, variables)
        close(pipe[1])
        guard code == 0 else { throw RigError(what: "\(command[0]) does not start: \(code)") }
        self.process = process
        output = pipe[0]
    }

    func line() -> String {
        var line: [UInt8] = []
        var byte: UInt8 = 0
        while read(output, &byte, 1) == 1, byte != 0x0A { line.append(byte) }
        return String(decoding: line, as: UTF8.self)
    }

    /// All that it says, up to its end.
    func outcome() -> String {
        var all = ""
        while case let line = line(), !line.isEmpty { all += line + "\n" }
        return all
    }

    func stop() { kill(process, SIGKILL) }

    deinit {
        kill(process, SIGKILL)
        waitpid(process, nil, 0)
        close(output)
    }
}

/// The Go program, built when it is not there yet.
struct GoPeer {
    private static let binary = "/tmp/tidegate-yamux-\(getpid())"

    private let program: Program

    init(_ arguments: [String]) throws {
        let binary = Self.binary
        if access(binary, X_OK) != 0 {
            let build = try Program(
                ["/usr/bin/go", "build", "-o", binary, folder + "/yamux.go"],
                environment: ["GO111MODULE=off", "GOPATH=/usr/share/gocode", "GOCACHE=/tmp/tidegate-go-cache"])
            _ = build.outcome()
            guard access(binary, X_OK) == 0 else { throw RigError(what: "the Go peer is not built: Tests/Lab/setup") }
            atexit { unlink(GoPeer.binary) }
        }
        program = try Program([binary] + arguments)
    }

    func outcome() -> String { program.outcome() }
}

/// Python's WebSocket between a TCP port and a WebSocket.
struct PythonBridge {
    private let program: Program
    let port: UInt16

    init(_ arguments: [String]) throws {
        program = try Program(["/usr/bin/python3", folder + "/websocket.py"] + arguments)
        guard let port = UInt16(program.line()) else { throw RigError(what: "no Python peer: Tests/Lab/setup") }
        self.port = port
    }

    func stop() { program.stop() }
}

/// A link's end without TLS, as a Go yamux speaks to it: with yamux's own first window.
struct Yamux: Sendable {
    private let link: NIOLoopBound<LinkConnection>
    private let channel: any Channel
    private let closed: EventLoopFuture<String>

    /// Why the link ended.
    var end: String { get async throws { try await closed.get() } }

    static func link(
        _ role: LinkSession.Role, over socket: Socket, accept: @escaping @Sendable (StreamHeader) -> StreamTarget?
    ) async throws -> Yamux {
        let loop = MultiThreadedEventLoopGroup.singleton.next()
        let closed = loop.makePromise(of: String.self)
        let established = loop.makePromise(of: NIOLoopBound<LinkConnection>.self)
        let channel = try await ClientBootstrap(group: loop)
            .channelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    var limits = LinkLimits()
                    limits.initialWindow = 262_144
                    var events = LinkConnection.Events()
                    events.established = { link, _ in established.succeed(NIOLoopBound(link, eventLoop: channel.eventLoop)) }
                    events.accept = { accept($1) }
                    events.closed = { _, error in
                        established.fail(error ?? LinkClosed())
                        closed.succeed(error.map { "\($0)" } ?? "as it should")
                    }
                    let hello = ControlMessage.Hello(build: "test", instance: 1)
                    let link = LinkConnection(role, hello: hello, limits: limits, events: events)
                    try channel.pipeline.syncOperations.addHandler(link)
                }
            }
            .withConnectedSocket(dup(socket.descriptor)).get()
        return Yamux(link: try await established.futureResult.get(), channel: channel, closed: closed.futureResult)
    }

    /// Takes connections and opens a stream for each. Returns the port.
    func listen() async throws -> UInt16 {
        let link = link
        let listener = try await ServerBootstrap(group: channel.eventLoop)
            .forStreams()
            .childChannelInitializer { channel in
                channel.eventLoop.makeCompletedFuture { try link.value.join(channel, tunnelPort: 1) }
            }
            .bind(host: "127.0.0.1", port: 0).get()
        return UInt16(listener.localAddress?.port ?? 0)
    }

    func close() { channel.close(promise: nil) }
}

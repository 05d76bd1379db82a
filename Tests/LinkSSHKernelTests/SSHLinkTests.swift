import Glibc
import LinkCarriers
import LinkRelay
import LinkSSH
import LinkUplink
import NetworkTypes
import Sodium
import Syscalls
import TestFiles
import TestLinks
import Testing

/// Links through a real sshd.
@Suite(.serialized, .timeLimit(.minutes(4))) struct SSHLinkTests {
    /// An edge whose socket for sshd is open, and an sshd that leads there.
    private func edge(
        _ configuration: String = "", tcp: [UInt16] = [], opensSocket: Bool = true
    ) async throws -> (rig: LinkRig, server: LoginServer) {
        let rig = try await LinkRig(tcp: tcp)
        let server = try LoginServer(configuration, keys: [try .generate()], folder: try TemporaryFolder())
        if opensSocket { try await rig.relay.keepSocket(at: server.socket) }
        return (rig, server)
    }

    private func uplink(_ rig: LinkRig, _ carrier: LinkCarrier, connections: Int = 1, proxy: HTTPProxy? = nil) throws
        -> LinkUplink
    {
        try rig.uplink(connections: connections, carriers: [carrier], proxy: proxy, ssh: SSHCarrier.opening)
    }

    /// The trouble of an uplink that gets no link.
    private func trouble(_ rig: LinkRig, _ carrier: LinkCarrier) async throws -> String {
        let uplink = try uplink(rig, carrier)
        let run = Task { await uplink.run() }
        _ = await comes { !uplink.status[0].troubles.isEmpty }
        let trouble = uplink.status[0].troubles.first ?? ""
        run.cancel()
        await run.value
        return trouble
    }

    private func transfer(_ count: Int = 3 << 20, through rig: LinkRig, to target: Socket) async throws {
        let client = try await rig.connect(target.port)
        let server = try await blocking { try target.accepted() }
        try await withThrowingTaskGroup(of: Void.self) { tasks in
            for (from, to) in [(client, server), (server, client)] {
                tasks.addTask { try await blocking { try Pattern.send(count, on: from) } }
                tasks.addTask {
                    let came = try await blocking { Pattern.receive(on: to) }
                    #expect(came == count)
                }
            }
            try await tasks.waitForAll()
        }
    }

    @Test func `A channel of sshd carries links`() async throws {
        let target = try Socket.listening()
        let (rig, server) = try await edge(tcp: [target.port])
        try await rig.running(try uplink(rig, server.carrier(), connections: 2)) { rig in
            try await transfer(through: rig, to: target)
            #expect(await rig.relay.status.first?.links.map(\.source) == ["sshd", "sshd"])
        }
    }

    @Test func `A proxy leads to sshd`() async throws {
        let target = try Socket.listening()
        let (rig, server) = try await edge(tcp: [target.port])
        let proxy = try PlayedProxy(answer: "HTTP/1.1 200 OK\r\n\r\n", to: server.port)
        let uplink = try uplink(rig, server.carrier(), proxy: proxy.proxy(credentials: "user:password"))
        try await rig.running(uplink) { rig in try await transfer(through: rig, to: target) }
        #expect(proxy.asked.hasPrefix("CONNECT 127.0.0.1:\(server.port) HTTP/1.1\r\n"))
    }

    /// Both ways, and so often that keys change while bytes wait on either side.
    @Test func `New keys of SSH lose nothing`() async throws {
        let target = try Socket.listening()
        let (rig, server) = try await edge("RekeyLimit 1M", tcp: [target.port])
        try await rig.running(try uplink(rig, server.carrier())) { rig in
            try await transfer(32 << 20, through: rig, to: target)
        }
    }

    @Test func `Who reads nothing holds up nobody else`() async throws {
        let target = try Socket.listening()
        let (rig, server) = try await edge(tcp: [target.port])
        try await rig.running(try uplink(rig, server.carrier())) { rig in
            // Larger than every window on the way.
            let idle = try await rig.connect(target.port)
            let stuck = try await blocking { try target.accepted() }
            let flood = Task { try await blocking { try Pattern.send(24 << 20, on: stuck) } }
            try await Task.sleep(for: .milliseconds(500))
            try await transfer(through: rig, to: target)
            let came = try await blocking { Pattern.receive(on: idle) }
            #expect(came == 24 << 20)
            try await flood.value
        }
    }

    @Test func `A link that sshd cuts comes back`() async throws {
        let target = try Socket.listening()
        let (rig, server) = try await edge(tcp: [target.port])
        let uplink = try uplink(rig, server.carrier())
        try await rig.running(uplink) { rig in
            server.endSessions()
            // The next one may be among the sessions that end.
            #expect(await comes { await uplink.totals.links >= 2 })
            try await transfer(through: rig, to: target)
        }
    }

    /// As a new build beside the former, and whoever tidies up.
    @Test func `The socket is made anew where it is gone`() async throws {
        let (rig, server) = try await edge()
        var status = stat()
        #expect(lstat(server.socket, &status) == 0 && status.st_mode & 0o7777 == 0o660 && status.st_gid == LoginServer.number)
        let first = status.st_ino
        try await rig.relay.keepSocket(at: server.socket)
        #expect(lstat(server.socket, &status) == 0 && status.st_ino == first)
        unlink(server.socket)
        try await rig.relay.keepSocket(at: server.socket)
        try await rig.running(try uplink(rig, server.carrier())) { _ in }
        try await rig.relay.keepSocket(at: nil)
        #expect(lstat(server.socket, &status) != 0)
    }

    // MARK: refusals

    @Test func `Another host key is refused, and both are told`() async throws {
        let (rig, server) = try await edge()
        let other = try LinkPrivateKey.generate().sshPublicKey
        let trouble = try await trouble(rig, server.carrier(hostKey: "\(other)"))
        #expect(trouble.contains("it shows ssh-ed25519 \(try server.fingerprint()), not ssh-ed25519 SHA256:"), "\(trouble)")
        #expect(trouble.contains("knownHosts"))
        #expect(!server.log.contains(LoginServer.user), "no user's name went out")
    }

    @Test func `Another key is refused`() async throws {
        let (rig, server) = try await edge()
        let trouble = try await trouble(rig, server.carrier(key: .generate()))
        #expect(trouble.contains("logging in by SSH 127.0.0.1:\(server.port): the key is not taken"), "\(trouble)")
    }

    /// Two links, whose tries are theirs together.
    @Test func `A refused key is not shown again and again`() async throws {
        let (rig, server) = try await edge()
        let uplink = try uplink(rig, server.carrier(key: .generate()), connections: 2)
        let run = Task { await uplink.run() }
        #expect(await comes { uplink.status.allSatisfy { !$0.troubles.isEmpty } })
        try await Task.sleep(for: .seconds(9))
        let tries = server.log.split(whereSeparator: \.isNewline).count { $0.hasPrefix("Connection from") }
        #expect((2...3).contains(tries), "\(server.log)")
        run.cancel()
        await run.value
    }

    @Test(arguments: ["AllowStreamLocalForwarding no", "DisableForwarding yes"])
    func `A server that forwards nothing is named`(configuration: String) async throws {
        let (rig, server) = try await edge(configuration)
        let trouble = try await trouble(rig, server.carrier())
        #expect(trouble.contains("to the link program") && trouble.contains("AllowStreamLocalForwarding"), "\(trouble)")
    }

    @Test func `Where the link program is not there sshd says so`() async throws {
        let (rig, server) = try await edge(opensSocket: false)
        let trouble = try await trouble(rig, server.carrier())
        #expect(trouble.contains("tidegate-link.service"), "\(trouble)")
    }

    @Test(arguments: ["SSH-2.0-OpenSSH_9.2\r\n", "HTTP/1.1 400 Bad Request\r\n\r\n", ""])
    func `What is no sshd is none, and waited for no longer than for others`(greeting: String) async throws {
        let (rig, server) = try await edge()
        let listener = try Socket.listening()
        let peer = Task {
            let client = try await blocking { try listener.accepted() }
            try await blocking {
                try client.send(Array(greeting.utf8))
                _ = client.receiveAll()
            }
        }
        defer { peer.cancel() }
        let begin = ContinuousClock.now
        let trouble = try await trouble(rig, server.carrier(port: listener.port))
        #expect(trouble.contains("logging in by SSH"), "\(trouble)")
        #expect(ContinuousClock.now - begin < .seconds(25))
        if greeting.hasPrefix("HTTP") { #expect(trouble.contains("a web server"), "\(trouble)") }
    }

    // MARK: what a key may not do

    private struct Attempt {
        let status: Int32
        let output: String
        let errors: String
    }

    /// OpenSSH's client with a key that is let in as an uplink's, and these words.
    private func attempt(_ server: LoginServer, _ words: [String]) throws -> Attempt {
        let options = [
            "-F", "none", "-i", server.folder("thief"), "-p", "\(server.port)", "-o", "BatchMode=yes", "-o", "LogLevel=VERBOSE",
            "-o",
            "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null", "-o", "ExitOnForwardFailure=yes",
        ]
        let spawn = Spawn("/usr/bin/timeout", ["5", "/usr/bin/ssh"] + options + words, environment: ["PATH=/usr/bin"])
        let finished = try #require(try spawn.run(.apart, limit: 1 << 20, until: .now + .seconds(20)))
        return Attempt(
            status: finished.ending.exitCode, output: String(decoding: finished.output, as: UTF8.self),
            errors: String(decoding: finished.errors, as: UTF8.self))
    }

    @Test func `A key opens the socket and nothing else`() async throws {
        let folder = try TemporaryFolder()
        _ = try LoginServer.run("/usr/bin/ssh-keygen", ["-q", "-t", "ed25519", "-N", "", "-f", folder("thief")])
        let thief = try SSHPublicKey(parsing: try LoginServer.publicKey(folder("thief.pub")))
        let rig = try await LinkRig()
        let server = try LoginServer(keys: [try .generate()], folder: folder, others: [thief])
        try await rig.relay.keepSocket(at: server.socket)
        let login = "\(LoginServer.user)@127.0.0.1"
        // Somebody's, of whom the user is none.
        let privateDoor = try await LinkRig()
        mkdir(folder("other"), 0o755)
        try await privateDoor.relay.keepSocket(at: folder("other/door.sock"))
        chown(folder("other/door.sock"), 0, 0)
        let otherDoor = try await LinkRig()
        let target = try Socket.listening()
        let port = target.port
        try await otherDoor.relay.keepSocket(at: folder("open.sock"))
        chmod(folder("open.sock"), 0o777)

        for words in [[login, "id"], [login], ["-tt", login], ["-s", login, "sftp"]] {
            let attempt = try attempt(server, words)
            // Its shell's word is all that comes.
            let isNothing = attempt.output == "" || attempt.output.hasPrefix("This account is currently not available.")
            #expect(attempt.status != 0 && isNothing, "\(words): \(attempt)")
            #expect(attempt.errors.contains("Authenticated to"), "\(words): \(attempt)")
        }
        let tcp = try attempt(server, ["-W", "127.0.0.1:\(port)", login])
        #expect(tcp.errors.contains("administratively prohibited") && tcp.status != 0, "\(tcp)")
        // Nor is a socket that everybody may open.
        for place in [folder("other/door.sock"), folder("open.sock"), "/run/none.sock"] {
            let trouble = try await trouble(rig, server.carrier(socket: place))
            #expect(trouble.contains("to the link program: Channel open failure"), "\(place): \(trouble)")
            #expect(server.log.contains("to path \(place), but the request was denied"))
        }
        for listening in ["0:127.0.0.1:\(port)", "127.0.0.1:0:127.0.0.1:\(port)", "255.255.255.255:1:127.0.0.1:\(port)"] {
            let attempt = try attempt(server, ["-N", "-R", listening, login])
            #expect(attempt.errors.contains("forwarding failed") && attempt.status != 0, "\(attempt)")
        }
        // Not even beside the link program's.
        let beside = try attempt(server, ["-N", "-R", "\(folder("home/link/own.sock")):127.0.0.1:\(port)", login])
        #expect(beside.errors.contains("forwarding failed") && beside.status != 0, "\(beside)")
        let device = try attempt(server, ["-N", "-w", "0:0", login])
        #expect(device.status != 0, "\(device)")
    }
}

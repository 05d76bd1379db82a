import Glibc
import NetworkTypes
import Syscalls
import Testing

@testable import SSH

struct ConnectKernelTests {
    @Test func aPortNobodyListensOnIsRefused() async throws {
        let error = try await failure(in: Namespace())
        #expect(error.reason == .refused([.init(address: "127.0.0.1", failure: "Connection refused")]))
        #expect("\(error)".hasPrefix("ssh root@127.0.0.1:2222: connection refused"))
        #expect(!error.needsUser)
    }

    @Test func aHostWithoutARouteIsUnreachable() async throws {
        let namespace = try Namespace()
        for host in ["198.51.100.1", "2001:db8::1"] {
            let error = try await failure(in: namespace, host: host)
            #expect(error.reason == .unreachable([.init(address: host, failure: "Network is unreachable")]))
        }
    }

    @Test func aNameNobodyKnowsIsNamed() async throws {
        let error = try await failure(in: Namespace(), host: "no-such-host.invalid", timeout: .seconds(30))
        guard case .nameUnresolvable = error.reason else {
            Issue.record("\(error)")
            return
        }
    }

    @Test func aPortThatDropsEverythingTimesOut() async throws {
        let namespace = try Namespace()
        try namespace.execute("/usr/sbin/nft", "add table ip t")
        try namespace.execute("/usr/sbin/nft", "add chain ip t c { type filter hook input priority 0; }")
        try namespace.execute("/usr/sbin/nft", "add rule ip t c tcp dport 2222 drop")
        let started = ContinuousClock.now
        let error = try await failure(in: namespace)
        #expect(
            error.reason
                == .connectTimedOut(after: .seconds(1), [.init(address: "127.0.0.1", failure: "no answer")]))
        #expect(ContinuousClock.now - started < .seconds(25))
    }

    @Test func aSilentPeerTimesOut() async throws {
        let peer = try FakePeer(in: Namespace())
        let started = ContinuousClock.now
        let error = try await failure(in: peer.namespace, peer: peer)
        #expect(error.reason == .handshakeTimedOut(after: .seconds(1), heard: .nothing))
        #expect(ContinuousClock.now - started < .seconds(25))
    }

    @Test func aPeerThatOnlyGreetsTimesOut() async throws {
        let peer = try FakePeer(in: Namespace(), FakePeer.say("SSH-2.0-OpenSSH_9.2\r\n"))
        let error = try await failure(in: peer.namespace, peer: peer)
        #expect(error.reason == .handshakeTimedOut(after: .seconds(1), heard: .greeting))
    }

    /// A real server's first words, then nothing.
    @Test func aPeerSilentInTheKeyExchangeTimesOut() async throws {
        let server = try TestServer()
        let port = server.port
        let greeting = server.namespace.inside { () -> [UInt8] in
            let descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
            defer { close(descriptor) }
            let loopback = SocketAddress(.v4(IPv4Address(number: 0x7F00_0001)), port: port)
            guard loopback.withSockaddr({ connect(descriptor, $0, $1) }) == 0 else { return [] }
            let hello = Array("SSH-2.0-test\r\n".utf8)
            _ = send(descriptor, hello, hello.count, 0)
            var bytes: [UInt8] = []
            var buffer = [UInt8](repeating: 0, count: 4096)
            while ServerGreeting(reading: bytes).proposal == nil {
                let count = recv(descriptor, &buffer, buffer.count, 0)
                if count <= 0 { break }
                bytes += buffer[..<count]
            }
            return bytes
        }
        #expect(ServerGreeting(reading: greeting).proposal != nil)
        let peer = try FakePeer(in: Namespace()) { _ = send($0, greeting, greeting.count, Int32(MSG_NOSIGNAL)) }
        let error = try await failure(in: peer.namespace, peer: peer)
        #expect(error.reason == .handshakeTimedOut(after: .seconds(1), heard: .keyExchange))
    }

    /// A path that swallows all the server says after so many bytes: every step on the way to a login is cut off once.
    @Test func silenceAtAnyStepTimesOut() async throws {
        // All at once: sshd would turn some away.
        let server = try TestServer("MaxStartups 100")
        let port = server.port
        // A login takes some 1,500 bytes from the server.
        try await withThrowingTaskGroup(of: SSHError.Reason?.self) { group in
            let peers = try stride(from: 0, through: 1875, by: 75).map { limit in
                try FakePeer(in: server.namespace, port: 3000 + limit) { client in
                    let upstream = server.namespace.inside {
                        socket(AF_INET, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
                    }
                    defer { close(upstream) }
                    let loopback = SocketAddress(.v4(IPv4Address(number: 0x7F00_0001)), port: port)
                    guard loopback.withSockaddr({ connect(upstream, $0, $1) }) == 0 else { return }
                    FakePeer.relay(client, upstream, limit: limit)
                }
            }
            for peer in peers {
                group.addTask {
                    try await attempt(
                        in: server.namespace, port: peer.port, timeout: .seconds(2), peer: peer,
                        credentials: server.credentials()
                    )?.reason
                }
            }
            var steps: Set<String> = []
            for try await reason in group {
                switch reason {
                case .handshakeTimedOut(_, let heard): steps.insert("\(heard)")
                case .authenticationTimedOut: steps.insert("authentication")
                case nil: steps.insert("connected")
                default: Issue.record("\(String(describing: reason))")
                }
            }
            #expect(steps == ["connected", "nothing", "greeting", "keyExchange", "authentication"])
        }
    }

    @Test func whatIsNoSSHServerIsQuoted() async throws {
        do {
            let peer = try FakePeer(in: Namespace(), FakePeer.say("HTTP/1.1 400 Bad \u{1B}[31mRequest\r\n\r\n"))
            let error = try await failure(in: peer.namespace, peer: peer)
            #expect(error.reason == .notSSH("a web server"))
            #expect(error.needsUser)
        }
        do {
            let peer = try FakePeer(in: Namespace()) { _ = shutdown($0, Int32(SHUT_RDWR)) }
            #expect(try await failure(in: peer.namespace, peer: peer).reason == .notSSH(""))
        }
    }

    /// Neither lines without end nor rubbish behind a greeting keep a thread busy for ever.
    @Test(arguments: ["line\r\n", "\u{1}", "SSH-2.0-x\r\n"]) func aPeerThatNeverStopsIsCutOff(words: String) async throws {
        let chunk = Array(String(repeating: words, count: 4096).utf8)
        let peer = try FakePeer(in: Namespace()) { descriptor in
            while send(descriptor, chunk, chunk.count, Int32(MSG_NOSIGNAL)) > 0 {}
        }
        let started = ContinuousClock.now
        let error = try await failure(in: peer.namespace, peer: peer)
        #expect(ContinuousClock.now - started < .seconds(25))
        switch error.reason {
        case .notSSH, .protocolFailure, .handshakeTimedOut: break
        default: Issue.record("\(error)")
        }
    }

    @Test func aNameIsTriedOnAllItsAddresses() async throws {
        // /etc/hosts gives localhost 127.0.0.1, and often ::1, on which nothing listens here.
        let server = try TestServer()
        let connection = try await server.connect(host: "localhost")
        #expect(try await connection.execute("true").status == 0)
        await connection.close()
    }

    @Test func addressesTakeTurnsUntilOneAnswers() throws {
        let namespace = try Namespace()
        let peer = try FakePeer(in: namespace)
        try namespace.execute("/usr/sbin/nft", "add table ip t")
        try namespace.execute("/usr/sbin/nft", "add chain ip t c { type filter hook input priority 0; }")
        try namespace.execute("/usr/sbin/nft", "add rule ip t c ip daddr 127.0.0.2 drop")
        let port = try Port(2222)
        let addresses = try ["127.0.0.2", "127.0.0.3", "::1", "127.0.0.1"].map {
            SocketAddress(try IPAddress(parsing: $0), port: port)
        }
        let outcome = namespace.inside { () -> String in
            guard let wake = try? WakeSignal() else { return "no eventfd" }
            var dialer = Dialer(addresses)
            switch try? dialer.dial(until: .now + .seconds(5), wake: wake) {
            case .connected: return "connected"
            case .failed(let attempts, _): return "\(attempts)"
            case .timedOut(let attempts): return "timed out \(attempts)"
            case .woken: return "woken"
            case nil: return "failed"
            }
        }
        #expect(outcome == "connected")
        withExtendedLifetime(peer) {}
    }

    @Test func connectingIsCancelled() async throws {
        let peer = try FakePeer(in: Namespace())
        let started = ContinuousClock.now
        let task = Task { try await failure(in: peer.namespace, timeout: .seconds(60), peer: peer) }
        while peer.acceptedCount == 0 { try await Task.sleep(for: .milliseconds(10)) }
        try await Task.sleep(for: .milliseconds(100))
        task.cancel()
        switch try await task.value.reason {
        // The first only when this side learns of the connection later than the peer.
        case .cancelled(during: .connecting), .cancelled(during: .handshake): break
        default: Issue.record("not cancelled")
        }
        let early = Task { try await failure(in: peer.namespace, timeout: .seconds(60), peer: peer) }
        early.cancel()
        guard case .cancelled = try await early.value.reason else {
            Issue.record("not cancelled")
            return
        }
        #expect(ContinuousClock.now - started < .seconds(25))
    }
}

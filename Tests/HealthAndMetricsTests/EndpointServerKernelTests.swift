import HTTPServing
import NIOCore
import NIOHTTP1
import NIOPosix
import NIOSSL
import ServiceLifecycle
import ServiceLifecycleTestKit
import Testing

@testable import HealthAndMetrics

extension EndpointServer: Service {}

/// With the kernel tests, one after the other: its clients are slow by half a second, and so is whoever shares a process with a thousand tests.
@Suite(.serialized) struct EndpointServerKernelTests {
    /// Its times are short: a client that is slow shall be seen off while the test waits.
    private func listener(
        _ transport: EndpointServer.Transport = .plain, limits: EndpointLimits? = nil,
        onListening: @escaping @Sendable (SocketAddress) -> Void, answer: @escaping @Sendable () async -> Void = {}
    ) -> EndpointServer {
        var short = EndpointLimits(connections: 16, idle: .milliseconds(500))
        short.handshake = .milliseconds(500)
        short.answering = .milliseconds(500)
        return EndpointServer(
            name: "test", flag: "--test", address: freePort(), transport: transport, limits: limits ?? short,
            group: MultiThreadedEventLoopGroup.singleton, logger: quiet, onListening: onListening
        ) { _ in
            await answer()
            return .text(.ok, "hello")
        }
    }

    @Test(arguments: [
        "", "GET", "GET / HTTP/1.1\r\nHost: x\r\nX-Slow: ", "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nsome",
        "GET / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab",
    ])
    func whoNeverEndsARequestIsSeenOff(words: String) async throws {
        try await serving {
            listener(onListening: $0)
        } _: { port in
            let heard = try await conversation(port: port, words: words)
            #expect(!heard.contains("200 OK"))
        }
    }

    @Test func whoKeepsAConnectionWithoutUseIsSeenOff() async throws {
        try await serving {
            listener(onListening: $0)
        } _: { port in
            let heard = try await conversation(port: port, words: "GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            #expect(heard.contains("200 OK") && heard.hasSuffix("hello"))
        }
    }

    /// RFC 9113, section 3.4: the preface, then an empty frame SETTINGS.
    private static let preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\u{04}\0\0\0\0\0"

    private static func http2Client() -> TLSConfiguration {
        var tls = TLSConfiguration.makeClientConfiguration()
        tls.certificateVerification = .none
        tls.applicationProtocols = ["h2"]
        return tls
    }

    @Test(arguments: ["", preface]) func whoOpensNoStreamIsSeenOff(words: String) async throws {
        let certificate = ServingCertificate(try ServingCertificate.selfSigned())
        let client = Self.http2Client()
        try await serving {
            listener(.tls(certificate.configuration(http2: true), http2: true), onListening: $0)
        } _: { port in
            let heard = try await conversation(port: port, tls: client, words: words)
            #expect(!heard.isEmpty)
        }
    }

    @Test(arguments: [true, false]) func whoNeverFinishesTheHandshakeIsSeenOff(http2: Bool) async throws {
        let certificate = ServingCertificate(try ServingCertificate.selfSigned())
        let tls = EndpointServer.Transport.tls(certificate.configuration(http2: http2), http2: http2)
        try await serving {
            listener(tls, onListening: $0)
        } _: { port in
            // The first bytes of a record of TLS: a handshake of 512 bytes, of which two come.
            for words in ["", "\u{16}\u{03}\u{01}\u{02}\u{00}\u{01}\u{00}"] {
                let heard = try await conversation(port: port, words: words)
                #expect(!heard.contains("HTTP"))
            }
        }
    }

    @Test(arguments: [
        "GET / HTTP/1.1\r\nHost: x\r\nX-Big: \(String(repeating: "x", count: 40_000))\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: x\r\n\(String(repeating: "X-Many: 1\r\n", count: 200))\r\n", "nonsense\r\n\r\n",
    ])
    func whatIsNoRequestOrTooBigIsRefused(words: String) async throws {
        try await serving {
            listener(onListening: $0)
        } _: { port in
            let heard = try await conversation(port: port, words: words)
            #expect(heard.hasPrefix("HTTP/1.1 400 Bad Request") || heard.isEmpty)
        }
    }

    @Test func aGETWithABodyIsRefused() async throws {
        try await serving {
            listener(onListening: $0)
        } _: { port in
            let heard = try await conversation(port: port, words: "GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc")
            #expect(heard.hasPrefix("HTTP/1.1 413 "))
        }
    }

    /// A kubelet that is not answered has the controller killed: who fills the port takes a place from himself.
    @Test(arguments: [false, true]) func whoTakesAllPlacesLocksNobodyOut(secured: Bool) async throws {
        let limits = EndpointLimits(connections: 8, idle: .seconds(600))
        let certificate = ServingCertificate(try ServingCertificate.selfSigned())
        let transport = secured ? .tls(certificate.configuration(http2: true), http2: true) : EndpointServer.Transport.plain
        try await serving {
            listener(transport, limits: limits, onListening: $0)
        } _: { port in
            var idle: [any Channel] = []
            for _ in 0..<(100 * limits.connections) {
                idle.append(
                    try await ClientBootstrap(group: MultiThreadedEventLoopGroup.singleton).connect(host: "127.0.0.1", port: port)
                        .get())
            }
            let answer = try await curl("http\(secured ? "s" : "")://127.0.0.1:\(port)/", ["-k", "--max-time", "5"])
            #expect(answer.status == 200 && answer.body == "hello" && answer.version == (secured ? "HTTP/2" : "HTTP/1.1"))
            for channel in idle { channel.close(promise: nil) }
        }
    }

    @Test func aRequestUnderWayIsAnsweredAtShutdown() async throws {
        let (asked, isAsked) = AsyncStream.makeStream(of: Void.self)
        let (released, release) = AsyncStream.makeStream(of: Void.self)
        let (addresses, listening) = AsyncStream.makeStream(of: SocketAddress.self)
        let server = listener(onListening: { listening.yield($0) }) {
            isAsked.yield()
            for await _ in released { return }
        }
        try await testGracefulShutdown { shutdown in
            try await withThrowingTaskGroup { tasks in
                tasks.addTask { try await server.run() }
                let port = try #require(await addresses.first { _ in true }?.port)
                async let heard = conversation(port: port, words: "GET / HTTP/1.1\r\nHost: x\r\n\r\n")
                _ = await asked.first { _ in true }
                shutdown.triggerGracefulShutdown()
                release.yield()
                #expect(try await heard.hasSuffix("hello"))
                try await tasks.waitForAll()
            }
        }
    }

    /// HTTP/2 says goodbye and waits for an acknowledgement; this client gives none.
    @Test func aClientThatSaysNoGoodbyeHoldsNoShutdown() async throws {
        let (answers, answered) = AsyncStream.makeStream(of: Void.self)
        let (addresses, listening) = AsyncStream.makeStream(of: SocketAddress.self)
        var limits = EndpointLimits(connections: 4, idle: .seconds(600))
        limits.answering = .milliseconds(100)
        let certificate = ServingCertificate(try ServingCertificate.selfSigned())
        let server = listener(
            .tls(certificate.configuration(http2: true), http2: true), limits: limits, onListening: { listening.yield($0) })
        let client = Self.http2Client()
        try await testGracefulShutdown { shutdown in
            try await withThrowingTaskGroup { tasks in
                tasks.addTask { try await server.run() }
                let port = try #require(await addresses.first { _ in true }?.port)
                async let heard = conversation(port: port, tls: client, words: Self.preface) { answered.yield() }
                _ = await answers.first { _ in true }
                shutdown.triggerGracefulShutdown()
                // A frame GOAWAY is among it.
                #expect(try await !heard.isEmpty)
                try await tasks.waitForAll()
            }
        }
    }
}

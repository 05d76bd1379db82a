import Documents
import FoundationEssentials
import Glibc
import KubernetesAPI
import KubernetesClient
import Logging
import Synchronization
import Testing

/// Server/server.py, ended with the value.
final class TestServer: Sendable {
    let port: Int
    private let program: Program
    private let input: Int32
    private let lines = Lines()

    /// - Parameter certificate: nil speaks plain HTTP.
    init(_ certificate: TestAuthority.Pair?, clientAuthority: String? = nil, tokenFile: String? = nil, address: String? = nil)
        throws
    {
        var words = ["python3", "\(#filePath.dropLast("TestServer.swift".count))Server/server.py"]
        if let certificate { words += ["--certificate", certificate.certificate, "--key", certificate.key] }
        if let clientAuthority { words += ["--client-ca", clientAuthority] }
        if let tokenFile { words += ["--token-file", tokenFile] }
        if let address { words += ["--address", address] }
        let stdin = try makePipe()
        let stdout = try makePipe()
        program = try Program(words, input: stdin.output, output: stdout.input)
        close(stdin.output)
        close(stdout.input)
        input = stdin.input
        port = Int(try #require(try lines.first(from: stdout.output)["port"]?.integer))
        lines.follow(stdout.output)
    }

    deinit {
        close(input)
        program.wait()
    }

    /// What it said so far.
    var said: [FieldNode] { lines.all }

    /// Waits until it has said so many things; what it prints is read by a thread of its own.
    func hasSaid(_ count: Int) async throws -> [FieldNode] {
        let end = ContinuousClock.now + .seconds(60)
        while said.count < count, .now < end { try await Task.sleep(for: .milliseconds(10)) }
        return said
    }

    /// Waits until it has said something of this name.
    func hasSaid(_ name: String) async throws -> FieldNode {
        let end = ContinuousClock.now + .seconds(240)
        while ContinuousClock.now < end {
            if let line = said.first(where: { $0[name] != nil }) { return line }
            try await Task.sleep(for: .milliseconds(10))
        }
        throw ServerSilent(expected: name)
    }

    struct ServerSilent: Error { let expected: String }

    /// The lines of a pipe, read by a thread.
    private final class Lines: Sendable {
        private let collected = Mutex<[FieldNode]>([])

        var all: [FieldNode] { collected.withLock { $0 } }

        func first(from descriptor: Int32) throws -> FieldNode {
            var line: [UInt8] = []
            var byte: UInt8 = 0
            while read(descriptor, &byte, 1) == 1, byte != 0x0A { line.append(byte) }
            return try FieldNode(json: line)
        }

        func follow(_ descriptor: Int32) {
            Thread.detach { [self] in
                while let line = try? first(from: descriptor) { collected.withLock { $0.append(line) } }
                close(descriptor)
            }
        }
    }

    private enum Thread {
        static func detach(_ body: @escaping @Sendable () -> Void) {
            final class Box: Sendable {
                let body: @Sendable () -> Void
                init(_ body: @escaping @Sendable () -> Void) { self.body = body }
            }
            var thread = pthread_t()
            pthread_create(
                &thread, nil,
                {
                    if let pointer = $0 { Unmanaged<Box>.fromOpaque(pointer).takeRetainedValue().body() }
                    return nil
                }, Unmanaged.passRetained(Box(body)).toOpaque())
            pthread_detach(thread)
        }
    }
}

extension TestServer {
    /// A way to it that is right, for a test to spoil.
    func access(_ authority: TestAuthority, host: String = "127.0.0.1") -> ClusterAccess {
        ClusterAccess(
            server: ClusterAccess.Server(host: host, port: port), authority: .these(.file(authority.root)), origin: "the test")
    }
}

let silent = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }

/// Lends a client and shuts it down.
@discardableResult
func withClient<Result>(
    _ access: ClusterAccess, _ change: (inout KubernetesClient.Options) -> Void = { _ in },
    _ body: (APIServer) async throws -> Result
) async throws -> Result {
    var options = KubernetesClient.Options(agent: "tidegate/test")
    // Beside a thousand other tests; those of time-outs bring their own.
    options.connectTimeout = .seconds(120)
    options.requestTimeout = .seconds(120)
    change(&options)
    let client = try KubernetesClient(access, options: options, logger: silent)
    do {
        let result = try await body(client.server)
        await client.shutdown()
        return result
    } catch {
        await client.shutdown()
        throw error
    }
}

extension APIServer {
    /// The answer read as JSON.
    func json(_ request: APIRequest) async throws -> FieldNode { try FieldNode(json: try await answer(request)) }

    /// The error that a request ends with.
    func failure(_ request: APIRequest) async throws -> APIError {
        do throws(APIError) {
            _ = try await answer(request)
        } catch {
            return error
        }
        throw NoFailure()
    }

    struct NoFailure: Error {}
}

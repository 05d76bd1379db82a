import Foundation
import Logging
import NIOCore
import ServiceLifecycle
import ServiceLifecycleTestKit
import TestPrograms
import Testing

@testable import HealthAndMetrics

let quiet = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }

/// Runs a server on a free port of 127.0.0.1 while `body` runs, then shuts it down gracefully.
func serving(
    _ make: (_ onListening: @escaping @Sendable (NIOCore.SocketAddress) -> Void) throws -> any Service,
    _ body: @escaping @Sendable (_ port: Int) async throws -> Void
) async throws {
    let (addresses, continuation) = AsyncStream.makeStream(of: NIOCore.SocketAddress.self)
    let server = try make { continuation.yield($0) }
    try await testGracefulShutdown { shutdown in
        try await withThrowingTaskGroup { tasks in
            tasks.addTask {
                defer { continuation.finish() }
                try await server.run()
            }
            if let port = await addresses.first(where: { _ in true })?.port {
                do {
                    try await body(port)
                } catch {
                    shutdown.triggerGracefulShutdown()
                    throw error
                }
            }
            shutdown.triggerGracefulShutdown()
            try await tasks.waitForAll()
        }
    }
}

func freePort() -> ListenAddress { ListenAddress(host: "127.0.0.1", port: 0) }

/// An answer as curl saw it.
struct CurlAnswer {
    var status: Int
    var version: String
    /// Names in lower case.
    var fields: [String: String]
    var body: String
}

/// Asks with curl.
func curl(_ url: String, _ options: [String] = []) async throws -> CurlAnswer {
    let result = try await run("/usr/bin/curl", ["-s", "-S", "-i", "--max-time", "20", "--noproxy", "*"] + options + [url])
    guard result.status == 0 else { throw ProgramFailed(status: result.status, words: result.errors) }
    // HTTP/1.1 200 OK, the fields, an empty line, the body.
    let parts = result.output.replacing("\r\n", with: "\n").split(
        separator: "\n\n", maxSplits: 1, omittingEmptySubsequences: false)
    let lines = parts[0].split(separator: "\n")
    let first = try #require(lines.first).split(separator: " ")
    var fields: [String: String] = [:]
    for line in lines.dropFirst() {
        guard let colon = line.firstIndex(of: ":") else { continue }
        fields[line[..<colon].lowercased()] = line[line.index(after: colon)...].trimmingCharacters(in: .whitespaces)
    }
    return CurlAnswer(
        status: try #require(Int(first[1])), version: String(first[0]), fields: fields,
        body: parts.count > 1 ? String(parts[1]) : "")
}

struct ProgramFailed: Error {
    let status: Int32
    let words: String
}

/// On a thread of its own, for the servers under test need those of the tasks.
func run(_ program: String, _ arguments: [String], input: String = "") async throws -> ProgramRun {
    try await withCheckedThrowingContinuation { continuation in
        Thread.detachNewThread {
            continuation.resume(with: Result { try ProgramRun(program, arguments, input: Array(input.utf8)) })
        }
    }
}

/// A folder that goes with its owner.
final class ScratchFolder: Sendable {
    let path: String

    init() throws {
        path = NSTemporaryDirectory() + "tidegate-serving-" + UUID().uuidString
        try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: false)
    }

    deinit { try? FileManager.default.removeItem(atPath: path) }
}

import CLinuxHeaders
import Foundation
import Glibc
import TestFiles
import Testing

@testable import NodeAgent

/// Against sockets of the test's own.
@Suite struct HTTPFetchTests {
    let folder: TemporaryFolder

    init() throws { folder = try TemporaryFolder() }

    private static func listen(_ descriptor: Int32) -> Int32 { Glibc.listen(descriptor, 4) }

    /// A socket that accepts one connection and answers it; with no answer it stays silent.
    private func listen(_ name: String, answer: String?) throws -> (target: HTTPTarget, descriptor: Int32) {
        let path = folder.path + "/" + name
        let descriptor = socket(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0)
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: path.utf8) }
        let result = withUnsafePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                bind(descriptor, $0, socklen_t(MemoryLayout<sockaddr_un>.size))
            }
        }
        try #require(result == 0 && Self.listen(descriptor) == 0)
        if let answer {
            Thread.detachNewThread {
                let connection = accept(descriptor, nil, nil)
                var buffer = [UInt8](repeating: 0, count: 4096)
                _ = recv(connection, &buffer, buffer.count, 0)
                let bytes = Array(answer.utf8)
                var sent = 0
                while sent < bytes.count {
                    let count = bytes.withUnsafeBytes {
                        send(connection, $0.baseAddress?.advanced(by: sent), $0.count - sent, Int32(MSG_NOSIGNAL))
                    }
                    if count <= 0 { break }
                    sent += count
                }
                close(connection)
            }
        }
        return (.unixSocket(path), descriptor)
    }

    @Test func askThemAllAndWaitForNoneTooLong() throws {
        let long = String(repeating: "x", count: 100_000)
        let good = try listen("good", answer: "HTTP/1.1 200 OK\r\nContent-Length: \(long.utf8.count)\r\n\r\n\(long)")
        let hostile = try listen("hostile", answer: "HTTP/1.1 200 OK\r\n\r\n" + String(repeating: "y", count: 500_000))
        let garbage = try listen("garbage", answer: "garbage\r\n\r\n")
        let silent = try listen("silent", answer: nil)
        defer { for descriptor in [good, hostile, garbage, silent].map(\.descriptor) { close(descriptor) } }
        let begin = ContinuousClock.now
        let results = fetch(
            "/status", from: [good.target, silent.target, hostile.target, .unixSocket(folder.path + "/none"), garbage.target],
            milliseconds: 2000,
            limit: 200_000)
        let took = ContinuousClock.now - begin
        #expect(try results[0].get().text == long)
        #expect(results[1].failure?.message.contains("did not answer within 2000 ms") == true)
        #expect(results[2].failure?.message.contains("longer than 200000 bytes") == true)
        #expect(results[3].failure?.message.contains("No such file or directory") == true)
        #expect(results[4].failure?.message.contains("status line") == true)
        #expect(took < .seconds(8))
    }

    @Test func tooLongAPathIsAnError() {
        #expect(throws: AgentError.self) { try unixAddress("/" + String(repeating: "p", count: 200)) }
    }
}

extension Result {
    fileprivate var failure: Failure? { if case .failure(let error) = self { error } else { nil } }
}

import Glibc
import LinkUplink
import Logging
import NIOPosix
import NetworkTypes
import NodeDocument
import Sodium
import Syscalls
import TestFiles
import Testing

@testable import UplinkAgent

/// What the VPS hands over is taken only from the installation that the uplink joined, and never an old one.
@Suite struct HandedDocumentsTests {
    private let key: HandoverKey
    private let owner = Owner(installation: "i", namespace: "default", name: "edge")

    init() throws { key = try .generate() }

    private func sealed(_ sequence: UInt64, forwards: Int, owner: Owner? = nil, by key: HandoverKey? = nil) throws -> [UInt8] {
        let uplink = try WireGuardPrivateKey.generate().publicKey()
        var content = try sampleContent(uplink, forwards: (0..<forwards).map { try sampleForward("b\($0)", .tcp, 20_000 + $0) })
        content.link = try sampleLink([.tls])
        let document = UplinkDocument(owner: owner ?? self.owner, hash: try content.digest(), content: content)
        return try (key ?? self.key).seal(try DocumentJSON.encode(HandedDocument(sequence: sequence, document: document)))
    }

    /// Hands them over, one after the other, and returns the forwards of the document after each.
    private func forwards(afterEach handed: [[UInt8]]) async throws -> [Int] {
        let folder = try TemporaryFolder()
        let document = folder("document.json")
        let joined = UplinkSettings.Joined(opener: try key.opener(), owner: owner, path: folder("handed"))
        let threads = NIOThreadPool(numberOfThreads: 1)
        threads.start()
        var counts: [Int] = []
        for sealed in handed {
            // A new one each time: what was taken is on the disk.
            let documents = HandedDocuments(
                joined, documentPath: document, threads: threads, logger: Logger(label: "t") { _ in SwiftLogNoOpLogHandler() })
            documents.inbox.take(sealed)
            let task = Task { try await documents.run() }
            // It has settled when it took these, or a moment is over.
            for _ in 0..<50 where documents.inbox.digest() != SHA256.digest(of: sealed).bytes {
                try await Task.sleep(for: .milliseconds(10))
            }
            task.cancel()
            try? await task.value
            let bytes = try? Descriptor.contents(of: document, limit: 1 << 20)
            counts.append(try bytes.map { try DocumentFile.parse($0, path: document).content.forwards.count } ?? -1)
        }
        try await threads.shutdownGracefully()
        return counts
    }

    @Test func oneFollowsTheOther() async throws {
        #expect(
            try await forwards(afterEach: [sealed(1, forwards: 1), sealed(2, forwards: 0), sealed(7, forwards: 3)]) == [1, 0, 3])
    }

    @Test func anOldOneIsNotTakenAgain() async throws {
        #expect(
            try await forwards(afterEach: [sealed(5, forwards: 1), sealed(4, forwards: 2), sealed(5, forwards: 3)]) == [1, 1, 1])
    }

    @Test func nothingElseIsTaken() async throws {
        let other = Owner(installation: "i", namespace: "default", name: "another")
        let good = try sealed(1, forwards: 1)
        var altered = good
        altered[altered.count / 2] ^= 1
        let handed = [
            altered, [], Array(good.dropLast()), try sealed(9, forwards: 2, by: .generate()),
            try sealed(9, forwards: 2, owner: other),
            try key.seal(Array("{}".utf8)), good,
        ]
        #expect(try await forwards(afterEach: handed) == [-1, -1, -1, -1, -1, -1, 1])
    }
}

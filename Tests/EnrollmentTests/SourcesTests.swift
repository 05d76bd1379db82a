import NetworkTypes
import NodeDocument
import Sodium
import Synchronization
import TestFiles
import Testing

@testable import Enrollment
@testable import SSH

/// What is pushed: the agent's bundle, and Envoy's binary or where it comes from.
@Suite struct SourcesTests {
    private func contents(_ source: ByteSource) throws -> [UInt8] {
        var reader = ByteSourceReader(source)
        var result: [UInt8] = []
        var buffer = [UInt8](repeating: 0, count: 1 << 20)
        while true {
            let count = try buffer.withUnsafeMutableBytes { buffer throws(InputFailure) in try reader.read(into: buffer) }
            if count == 0 { return result }
            result += buffer[..<count]
        }
    }

    @Test(arguments: [(1, 1), (65535, 1), (65536, 1), (65537, 2), (200_000, 4)])
    func padsTheBundleToWholeBlocks(length: Int, blocks: Int) throws {
        let folder = try TemporaryFolder()
        let original = (0..<length).map { UInt8(truncatingIfNeeded: $0 &* 31) | 1 }
        let path = try folder.write("agent.tar.gz", original)
        try folder.write("agent.build", Array(" 0123abcd \n".utf8))
        let bundle = try AgentBundle(path: path)
        #expect(bundle.build == "0123abcd")
        #expect(bundle.blocks == blocks)
        let pushed = try contents(bundle.source)
        #expect(pushed.count == blocks * 65536)
        #expect(Array(pushed.prefix(length)) == original)
        #expect(pushed.dropFirst(length).allSatisfy { $0 == 0 })
        #expect(bundle.sha256 == SHA256.digest(of: pushed))
    }

    @Test func namesABundleThatCannotBeRead() throws {
        let folder = try TemporaryFolder()
        let noSuffix = #expect(throws: InvalidValue.self) { try AgentBundle(path: "/tmp/agent.zip") }
        #expect(
            noSuffix?.description == "\"/tmp/agent.zip\" is not a valid agent bundle: want a .tar.gz made by deploy/agent/bundle")
        let missing = #expect(throws: InvalidValue.self) { try AgentBundle(path: folder.path + "/agent.tar.gz") }
        #expect(missing?.reason == "cannot be read: No such file or directory")
        // The build stands beside it.
        let path = try folder.write("agent.tar.gz", [1])
        let alone = #expect(throws: InvalidValue.self) { try AgentBundle(path: path) }
        #expect(alone?.expected == "agent build")
    }

    private let digest = SHA256.digest(of: "envoy")

    @Test(arguments: [
        ("https://example.com/envoy-{version}", "https://example.com/envoy-1.40.0"),
        ("http://10.0.0.1/{version}/envoy-{version}", "http://10.0.0.1/1.40.0/envoy-1.40.0"),
        ("https://example.com/envoy", "https://example.com/envoy"),
    ])
    func fillsTheVersionIntoURLs(text: String, url: String) throws {
        let source = try EnvoySource(parsing: text, version: "1.40.0", sha256: digest)
        #expect(source == .url(url, digest))
        #expect(source.release(version: "1.40.0") == EnvoyRelease(version: "1.40.0", sha256: digest, url: url))
    }

    @Test func demandsADigestForURLs() {
        let error = #expect(throws: InvalidValue.self) {
            try EnvoySource(parsing: "https://example.com/envoy", version: "1", sha256: nil)
        }
        #expect(error?.reason == "a URL needs --envoy-sha256, so that hosts can check the download")
    }

    @Test(arguments: [
        "https://example.com/a b", "https://example.com/a\nb", "https://example.com/\u{0}", "https://bücher.example/",
    ])
    func refusesURLsThatAreNone(text: String) {
        #expect(throws: InvalidValue.self) { try EnvoySource(parsing: text, version: "1", sha256: digest) }
        #expect(throws: InvalidValue.self) {
            try EnvoySource(parsing: "https://example.com/{version}", version: "1 \n", sha256: digest)
        }
    }

    @Test func readsAFileToPush() throws {
        let folder = try TemporaryFolder()
        let path = try folder.write("envoy", Array("envoy".utf8))
        #expect(try EnvoySource(parsing: path, version: "1", sha256: nil) == .file(path: path, length: 5, digest))
        let source = try EnvoySource(parsing: path, version: "1", sha256: digest)
        #expect(source.release(version: "1") == EnvoyRelease(version: "1", sha256: digest, url: nil))
        let other = SHA256.digest(of: "other")
        let error = #expect(throws: InvalidValue.self) { try EnvoySource(parsing: path, version: "1", sha256: other) }
        #expect(error?.reason == "its SHA-256 is \(digest), but --envoy-sha256 says \(other)")
    }

    @Test(arguments: [
        ("", "No such file or directory"), ("/nonexistent/envoy", "No such file or directory"), ("/tmp", "Is a directory"),
        ("ftp://x/y", "No such file or directory"),
    ])
    func namesAFileThatCannotBeRead(path: String, why: String) {
        let error = #expect(throws: InvalidValue.self) { try EnvoySource(parsing: path, version: "1", sha256: nil) }
        #expect(error?.reason == "cannot be read: \(why)")
    }
}

/// What a push shows and sends.
@Suite struct PushTests {
    @Test func aBarIsAsWideAsItIs() {
        #expect(progressBar(0, width: 10) == "[----------]   0 %")
        #expect(progressBar(55, width: 10) == "[#####-----]  55 %")
        #expect(progressBar(100, width: 10) == "[##########] 100 %")
        #expect(progressBar(250, width: 4) == "[####] 250 %")
    }

    /// Whatever the size of the buffer that it is read into, and again from the start with each source.
    @Test func aFileIsCompressedAsItIsRead() throws {
        let folder = try TemporaryFolder()
        let content = (0..<300_000).map { UInt8(truncatingIfNeeded: $0 / 7) }
        let path = try folder.write("envoy", content)
        for size in [7, 4096, 1 << 20] {
            let seen = Mutex(0)
            var reader = ByteSourceReader(.compressedFile(path: path) { count in seen.withLock { $0 = count } })
            var sent: [UInt8] = []
            var buffer = [UInt8](repeating: 0, count: size)
            while true {
                let count = try buffer.withUnsafeMutableBytes { try reader.read(into: $0) }
                if count == 0 { break }
                sent += buffer[..<count]
            }
            #expect(sent.starts(with: [0x1F, 0x8B]) && sent.count < 20_000)
            #expect(seen.withLock { $0 } == content.count)
        }
        var missing = ByteSourceReader(.compressedFile(path: path + "-gone") { _ in })
        var buffer = [UInt8](repeating: 0, count: 10)
        #expect(throws: InputFailure.self) { try buffer.withUnsafeMutableBytes { try missing.read(into: $0) } }
    }
}

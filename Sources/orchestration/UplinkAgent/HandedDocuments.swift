import LinkUplink
import Logging
import NIOPosix
import NodeDocument
import ServiceLifecycle
import Sodium
import Synchronization
import Syscalls

/// Takes the documents that the VPS hands to an uplink that joined. They are under the seal of its installation, so that a VPS can keep them
/// back, and no more: neither read nor alter them, nor show an old one again.
final class HandedDocuments: Service {
    private struct Last: Sendable {
        /// Of the sealed bytes; empty before there are any.
        var digest: [UInt8] = []
        var sequence: UInt64 = 0
    }

    private let joined: UplinkSettings.Joined
    private let documentPath: String
    private let threads: NIOThreadPool
    private let logger: Logger
    private let last: Mutex<Last>
    private let arrivals: AsyncStream<[UInt8]>
    private let source: AsyncStream<[UInt8]>.Continuation

    /// - Parameters:
    ///   - documentPath: where the uplink looks for its document.
    ///   - threads: for writing to the disk.
    init(_ joined: UplinkSettings.Joined, documentPath: String, threads: NIOThreadPool, logger: Logger) {
        self.joined = joined
        self.documentPath = documentPath
        self.threads = threads
        self.logger = logger
        var last = Last()
        // One that cannot be read is handed over again.
        if let sealed = try? Descriptor.contents(of: joined.path, limit: HandedDocument.longest),
            let handed = try? Self.opened(sealed, joined)
        {
            last = Last(digest: SHA256.digest(of: sealed).bytes, sequence: handed.sequence)
        }
        self.last = Mutex(last)
        // The last one counts.
        (arrivals, source) = AsyncStream.makeStream(bufferingPolicy: .bufferingNewest(1))
    }

    var inbox: LinkUplink.Inbox {
        LinkUplink.Inbox(most: HandedDocument.longest, digest: { self.last.withLock(\.digest) }) { self.source.yield($0) }
    }

    func run() async throws {
        for await sealed in arrivals.cancelOnGracefulShutdown() {
            do {
                try await threads.runIfActive { try self.take(sealed) }
            } catch {
                logger.error("what the VPS handed over is not taken; the former document stays", metadata: ["reason": "\(error)"])
            }
        }
    }

    private func take(_ sealed: [UInt8]) throws {
        let digest = SHA256.digest(of: sealed).bytes
        let former = last.withLock(\.self)
        guard digest != former.digest else { return }
        let handed = try Self.opened(sealed, joined)
        guard handed.sequence > former.sequence else {
            throw HandoverError(description: "it is older than the one in force")
        }
        let document = try DocumentJSON.encode(handed.document)
        _ = try DocumentFile.parse(document, path: documentPath)
        try replaceFile(documentPath, with: document, mode: 0o600, through: documentPath + ".new")
        try replaceFile(joined.path, with: sealed, mode: 0o600, through: joined.path + ".new")
        last.withLock { $0 = Last(digest: digest, sequence: handed.sequence) }
        logger.info("a document was handed over", metadata: ["forwards": "\(handed.document.content.forwards.count)"])
    }

    private static func opened(_ sealed: [UInt8], _ joined: UplinkSettings.Joined) throws -> HandedDocument {
        guard let bytes = joined.opener.open(sealed) else {
            throw HandoverError(
                description: "it was altered, or is not under the seal of the installation that this uplink joined")
        }
        let handed = try DocumentJSON.decode(HandedDocument.self, from: bytes)
        guard handed.document.owner == joined.owner else {
            throw HandoverError(description: "it is for EdgeNode \(handed.document.owner), not \(joined.owner)")
        }
        return handed
    }
}

/// Why something that was handed over is not taken, in words.
struct HandoverError: Error, CustomStringConvertible {
    let description: String
}

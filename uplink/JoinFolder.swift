import ArgumentParser
import Glibc
import NodeDocument
import Sodium
import Syscalls

/// What an uplink that joined keeps: its token, and the key and documents that a running uplink reads.
struct JoinFolder {
    private let path: String
    private let lock: Descriptor

    var keys: String { "\(path)/keys" }
    var document: String { "\(path)/config/\(UplinkDocument.fileName)" }
    var handed: String { "\(path)/config/handed" }
    private var tokenFile: String { "\(path)/token" }

    /// Makes it where it is missing; one process at a time has it.
    init(path: String) throws {
        self.path = path
        do throws(SystemFailure) {
            for folder in [path, "\(path)/keys", "\(path)/config"] { try makeFolder(at: folder) }
            try calling("chmod") { chmod(path, 0o700) }
            lock = try Descriptor.open("\(path)/lock", O_RDWR | O_CREAT | O_NOFOLLOW, mode: 0o600)
            try calling("flock") { flock(lock.number, LOCK_EX | LOCK_NB) }
        } catch {
            guard error.call == "flock" else { throw ValidationError("--state \(path): \(error)") }
            throw ValidationError("\(path): another uplink runs from this folder; give this one its own (--state)")
        }
    }

    func token() throws -> JoinToken {
        var text: [UInt8]
        do throws(SystemFailure) {
            text = try Descriptor.contents(of: tokenFile, limit: JoinToken.longest, O_NOFOLLOW)
        } catch {
            throw ValidationError(
                "\(path) has no token\(error.isMissing ? "" : " that can be read: \(error.reason)"); "
                    + "give the one that `tidegate join-command` prints")
        }
        return try JoinCommand.parsed(&text, tokenFile)
    }

    /// Keeps a token, the key in it, and, before anything was handed over, the document without forwards.
    func take(_ token: JoinToken) throws {
        if (try? fileStatus(at: tokenFile)) ?? nil != nil {
            let former = try self.token()
            guard former.facts.document.owner == token.facts.document.owner, former.ordinal == token.ordinal else {
                throw ValidationError(
                    "\(path) belongs to uplink \(former.ordinal) of EdgeNode \(former.facts.document.owner); "
                        + "give this one another folder (--state)")
            }
        }
        var key = token.key.base64File()
        defer { zero(&key) }
        try write(key, to: "\(keys)/priv-\(token.ordinal)")
        // What was handed over before is newer than the token, unless that has another key or edge.
        let isHanded = (try? fileStatus(at: handed)) ?? nil != nil
        if !isHanded || !isDocument(for: token) { try write(try DocumentJSON.encode(token.facts.document), to: document) }
        var text = try token.text()
        defer { zero(&text) }
        try write(text, to: tokenFile)
    }

    private func isDocument(for token: JoinToken) -> Bool {
        guard let bytes = try? Descriptor.contents(of: document, limit: HandedDocument.longest),
            let present = try? DocumentJSON.decode(UplinkDocument.self, from: bytes)
        else { return false }
        let content = token.facts.document.content
        return present.content.link == content.link && content.replicas.allSatisfy(present.content.replicas.contains)
    }

    private func write(_ bytes: [UInt8], to file: String) throws {
        do throws(SystemFailure) {
            try replaceFile(file, with: bytes, mode: 0o600, through: file + ".new")
        } catch {
            throw ValidationError("\(file) cannot be written: \(error)")
        }
    }
}

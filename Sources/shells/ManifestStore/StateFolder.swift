import Glibc
import Synchronization
import Syscalls

/// What a controller without a cluster keeps between its runs: a folder that only its owner may enter, and one controller at
/// a time may use.
///
/// Every file is written whole (temporary file, fsync, rename). A file that makes no sense is an error that names it; it is
/// never taken for a missing one, and never overwritten. All calls block on the file system.
public final class StateFolder: Sendable {
    /// Far more than any of the files holds.
    private static let fileLimit = 8 << 20

    public let path: String
    private let lock: Descriptor
    /// One change at a time: temporary files have fixed names.
    private let writing = Mutex<Void>(())

    /// Opens the folder, making it where it is missing, and locks it until this object goes.
    /// - Throws: `StateError`; of kind `inUse` when another controller has it.
    public init(path: String) throws(StateError) {
        var path = path
        while path.count > 1, path.hasSuffix("/") { path.removeLast() }
        self.path = path
        do throws(FileFailure) {
            try AtomicFile.makeFolder(path)
            let names = try folderEntries(path).map(\.name)
            guard names.isEmpty || names.contains("lock") else {
                throw FileFailure("take as state folder (it holds other files; name an empty or new one)", path, code: ENOTEMPTY)
            }
            // Keys lie in it, and it may have been made by somebody with another umask.
            try onFile(path, "restrict") { () throws(SystemFailure) in try calling("chmod") { chmod(path, 0o700) } }
            lock = try onFile("\(path)/lock") { () throws(SystemFailure) in
                try Descriptor.open("\(path)/lock", O_RDWR | O_CREAT | O_NOFOLLOW, mode: 0o600)
            }
            try onFile("\(path)/lock", "lock") { () throws(SystemFailure) in
                try calling("flock") { flock(lock.number, LOCK_EX | LOCK_NB) }
            }
        } catch {
            guard error.call == "lock", error.code == EWOULDBLOCK else { throw StateError(error) }
            throw StateError(
                .inUse, path, "another tidegate uses this folder; stop it, or give this one a folder of its own (--state)")
        }
    }

    /// The name this installation has for good: 32 hexadecimal digits, made at random when first asked for.
    public func installationID() throws(StateError) -> String {
        let file = "\(path)/installation"
        if let text = try readLine(file) {
            guard text.utf8.count == 32, text.allSatisfy(\.isHexDigit) else {
                throw StateError(
                    .corrupted, file,
                    "expected 32 hexadecimal digits; put the file back, or delete the state folder to start anew")
            }
            return text
        }
        var random = SystemRandomNumberGenerator()
        let words = [random.next(), random.next()].map { (word: UInt64) in
            let digits = String(word, radix: 16)
            return String(repeating: "0", count: 16 - digits.count) + digits
        }
        try write(Array("\(words.joined())\n".utf8), to: "installation")
        return words.joined()
    }

    /// A number higher than all handed out before, on disk before it is returned.
    public func nextEpoch() throws(StateError) -> UInt64 {
        let file = "\(path)/epoch"
        var last: UInt64 = 0
        if let text = try readLine(file) {
            guard let number = UInt64(text), number < UInt64.max else {
                throw StateError(.corrupted, file, "expected a number; write one in that is higher than every VPS has seen")
            }
            last = number
        }
        try write(Array("\(last + 1)\n".utf8), to: "epoch")
        return last + 1
    }

    // MARK: Files, for the extensions of this type

    func write(_ bytes: [UInt8], to name: String) throws(StateError) {
        try change { () throws(FileFailure) in
            if let slash = name.lastIndex(of: "/") { try AtomicFile.makeFolder("\(path)/\(name[..<slash])") }
            try AtomicFile.write(bytes, to: "\(path)/\(name)")
        }
    }

    func remove(_ name: String) throws(StateError) {
        try change { () throws(FileFailure) in try AtomicFile.remove("\(path)/\(name)") }
    }

    func removeTree(_ name: String) throws(StateError) {
        try change { () throws(FileFailure) in try AtomicFile.removeTree("\(path)/\(name)") }
    }

    private func change(_ body: () throws(FileFailure) -> Void) throws(StateError) {
        do throws(FileFailure) {
            try writing.withLock { (_) throws(FileFailure) in try body() }
        } catch {
            throw StateError(error)
        }
    }

    /// - Returns: nil when there is no such file.
    static func read(_ file: String) throws(StateError) -> [UInt8]? {
        do throws(FileFailure) {
            return try onFile(file) { () throws(SystemFailure) in try Descriptor.contents(of: file, limit: fileLimit) }
        } catch {
            if error.isMissing { return nil }
            throw StateError(error)
        }
    }

    /// The names in a sub-folder; none when it is missing.
    static func names(in folder: String) throws(StateError) -> [String] {
        do throws(FileFailure) {
            return try folderEntries(folder).map(\.name).filter { !$0.hasPrefix(".") }
        } catch {
            if error.isMissing { return [] }
            throw StateError(error)
        }
    }

    private func readLine(_ file: String) throws(StateError) -> String? {
        guard let bytes = try Self.read(file) else { return nil }
        return String(decoding: bytes.last == 0x0A ? bytes.dropLast() : bytes, as: UTF8.self)
    }
}

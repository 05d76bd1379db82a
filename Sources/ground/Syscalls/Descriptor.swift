public import Glibc

/// Owns a file descriptor: closed with the last who holds this.
public final class Descriptor: Sendable {
    public let number: Int32
    private let isOwned: Bool

    /// Owns what a call gives.
    public init(_ call: String, _ make: () -> Int32) throws(SystemFailure) {
        number = try calling(call, make)
        isOwned = true
    }

    /// One that stays open, such as standard input.
    public init(borrowing number: Int32) {
        self.number = number
        isOwned = false
    }

    // Not again after EINTR: Linux has closed it by then (close(2)).
    deinit { if isOwned { close(number) } }

    /// Opens a file, and never waits for it: a named pipe in its place holds nobody up. No child inherits it.
    /// - Parameters:
    ///   - flags: of open(2), beside `O_CLOEXEC`, `O_NONBLOCK` and `O_NOCTTY`.
    ///   - folder: what a relative path starts from; nil for the working directory.
    public static func open(
        _ path: String, _ flags: Int32, mode: mode_t = 0, in folder: Descriptor? = nil
    ) throws(SystemFailure) -> Descriptor {
        // C would see no more than what comes before the zero.
        guard !path.utf8.contains(0) else { throw SystemFailure("open", EINVAL) }
        return try Descriptor("open") {
            openat(folder?.number ?? AT_FDCWD, path, flags | O_CLOEXEC | O_NONBLOCK | O_NOCTTY, mode)
        }
    }

    init(owning number: Int32) {
        self.number = number
        isOwned = true
    }

    public func status() throws(SystemFailure) -> stat {
        var status = stat()
        try calling("fstat") { fstat(number, &status) }
        return status
    }

    /// Brings what was written to the disk.
    public func sync() throws(SystemFailure) { try calling("fsync") { fsync(number) } }
}

// MARK: reading and writing

extension Descriptor {
    /// Reads once.
    /// - Returns: how many bytes; 0 at the end.
    /// - Throws: with `EAGAIN` where there is nothing yet and it does not wait.
    public func read(into buffer: UnsafeMutableRawBufferPointer) throws(SystemFailure) -> Int {
        try calling("read") { Glibc.read(number, buffer.baseAddress, buffer.count) }
    }

    /// - Parameter most: bytes to be read; nil for as many as there is room for.
    public func read(into buffer: inout [UInt8], atMost most: Int? = nil) throws(SystemFailure) -> Int {
        try calling("read") {
            buffer.withUnsafeMutableBytes { Glibc.read(number, $0.baseAddress, min($0.count, most ?? $0.count)) }
        }
    }

    /// Reads to the end. What it read may be a key: where it fails, and where it needs more room, it leaves no copy.
    /// - Throws: with `EFBIG` when there are more than `limit` bytes.
    public func readAll(limit: Int) throws(SystemFailure) -> [UInt8] {
        // Files under /proc say 0, pipes too. A sparse file may claim more than there is memory.
        let claimed = Int(try status().st_size)
        var bytes = [UInt8](repeating: 0, count: max(min(claimed, limit - 1) + 2, 4096))
        var count = 0
        do throws(SystemFailure) {
            while true {
                if count == bytes.count {
                    var wider = [UInt8](repeating: 0, count: 2 * count)
                    wider.replaceSubrange(..<count, with: bytes)
                    erase(&bytes)
                    bytes = wider
                }
                let length = try calling("read") {
                    bytes.withUnsafeMutableBytes { Glibc.read(number, $0.baseAddress?.advanced(by: count), $0.count - count) }
                }
                if length == 0 { break }
                count += length
                if count > limit { throw SystemFailure("read", EFBIG) }
            }
        } catch {
            erase(&bytes)
            throw error
        }
        bytes.removeLast(bytes.count - count)
        return bytes
    }

    /// Reads to the end, a mebibyte at a time.
    public func readBlocks(_ body: (UnsafeRawBufferPointer) -> Void) throws(SystemFailure) {
        var buffer = [UInt8](repeating: 0, count: 1 << 20)
        while case let count = try read(into: &buffer), count > 0 {
            buffer.withUnsafeBytes { body(UnsafeRawBufferPointer(rebasing: $0[..<count])) }
        }
    }

    /// What the file at `path` holds; links are followed unless `flags` has `O_NOFOLLOW`.
    /// - Throws: with `EFBIG` when there are more than `limit` bytes.
    public static func contents(of path: String, limit: Int, _ flags: Int32 = 0) throws(SystemFailure) -> [UInt8] {
        try open(path, O_RDONLY | flags).readAll(limit: limit)
    }

    /// Writes all of it, however often the kernel takes a part.
    public func writeAll(_ bytes: [UInt8]) throws(SystemFailure) { try pushAll(bytes, "write") { Glibc.write(number, $0, $1) } }

    func pushAll(
        _ bytes: [UInt8], _ name: String, _ push: (UnsafeRawPointer?, Int) -> Int
    ) throws(SystemFailure) {
        var done = 0
        while done < bytes.count {
            done += try calling(name) {
                bytes.withUnsafeBytes { push($0.baseAddress?.advanced(by: done), $0.count - done) }
            }
        }
    }
}

/// Leaves zeros, which no compiler takes for needless.
func erase(_ bytes: inout [UInt8]) {
    bytes.withUnsafeMutableBytes { room in if let start = room.baseAddress { explicit_bzero(start, room.count) } }
}

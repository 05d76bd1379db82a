import CLibsodium

/// Bytes nobody may see: kept in libsodium's guarded memory (locked, not in core dumps), zeroed when the last owner goes.
///
/// Printing it says only how long it is. Equality takes constant time.
public final class SecretBytes: Sendable {
    // Written in init only, read-only after: what makes the class Sendable.
    private nonisolated(unsafe) let pointer: UnsafeMutableRawPointer
    public let count: Int

    /// Copies `bytes`; the caller's own copy stays the caller's to zero.
    public convenience init(copying bytes: some Collection<UInt8>) throws(SodiumError) {
        try self.init(count: bytes.count) { $0.copyBytes(from: bytes) }
    }

    /// `count` bytes that `fill` writes where they are kept, all of them.
    public convenience init(count: Int, filling fill: (UnsafeMutableRawBufferPointer) -> Void) throws(SodiumError) {
        try self.init(count: count)
        fill(UnsafeMutableRawBufferPointer(start: pointer, count: count))
        seal()
    }

    /// Copies `bytes`, then zeroes them; also when there is no memory for the copy.
    public convenience init(consuming bytes: inout [UInt8]) throws(SodiumError) {
        defer { zero(&bytes) }
        try self.init(copying: bytes)
    }

    /// Fresh random bytes.
    public static func random(count: Int) throws(SodiumError) -> SecretBytes {
        let secret = try SecretBytes(count: count)
        randombytes_buf(secret.pointer, count)
        secret.seal()
        return secret
    }

    private init(count: Int) throws(SodiumError) {
        try prepareSodium()
        guard let pointer = sodium_malloc(count) else { throw SodiumError(call: "sodium_malloc(\(count))") }
        self.pointer = pointer
        self.count = count
    }

    private func seal() { sodium_mprotect_readonly(pointer) }

    deinit { sodium_free(pointer) }

    /// Lends the bytes; they must not outlive `body`.
    public func withUnsafeBytes<Result, Failure: Error>(
        _ body: (UnsafeRawBufferPointer) throws(Failure) -> Result
    ) throws(Failure) -> Result {
        try body(UnsafeRawBufferPointer(start: pointer, count: count))
    }

    /// Lends the bytes as C libraries take them.
    public func withUnsafePointer<Result, Failure: Error>(
        _ body: (UnsafePointer<UInt8>) throws(Failure) -> Result
    ) throws(Failure) -> Result {
        try body(UnsafePointer(pointer.assumingMemoryBound(to: UInt8.self)))
    }
}

extension SecretBytes: Equatable {
    public static func == (a: SecretBytes, b: SecretBytes) -> Bool {
        a.count == b.count && sodium_memcmp(a.pointer, b.pointer, a.count) == 0
    }
}

extension SecretBytes: CustomStringConvertible, CustomReflectable {
    public var description: String { "<\(count) secret bytes>" }
    public var customMirror: Mirror { Mirror(self, children: []) }
}

/// Overwrites `bytes` with zeros in a way no compiler leaves out (sodium_memzero(3)), then empties it.
public func zero(_ bytes: inout [UInt8]) {
    bytes.withUnsafeMutableBytes { sodium_memzero($0.baseAddress, $0.count) }
    bytes.removeAll()
}

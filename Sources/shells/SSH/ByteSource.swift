import Glibc
import NetworkTypes
public import Sodium
import Syscalls

/// What goes to a command's standard input: pieces, sent one after the other, then end of file.
///
/// Files are read as they are sent, so a pushed file is never in memory as a whole.
public struct ByteSource: Sendable {
    enum Piece: Sendable {
        case bytes([UInt8])
        case secret(SecretBytes)
        case file(path: String)
        case reading(@Sendable (UnsafeMutableRawBufferPointer) throws -> Int)
    }

    let pieces: [Piece]

    /// Nothing: the command sees end of file at once.
    public static let empty = ByteSource(pieces: [])

    public static func bytes(_ bytes: [UInt8]) -> ByteSource { ByteSource(pieces: [.bytes(bytes)]) }

    public static func secret(_ bytes: SecretBytes) -> ByteSource { ByteSource(pieces: [.secret(bytes)]) }

    /// The file's bytes, opened when their turn comes.
    public static func file(path: String) -> ByteSource { ByteSource(pieces: [.file(path: path)]) }

    /// `read` fills as much of the buffer as it likes and returns how much; 0 is the end. It is called on the
    /// connection's own thread and may wait for a disk, but not for anything that needs this connection.
    public static func reading(_ read: @escaping @Sendable (UnsafeMutableRawBufferPointer) throws -> Int) -> ByteSource {
        ByteSource(pieces: [.reading(read)])
    }

    public static func + (a: ByteSource, b: ByteSource) -> ByteSource { ByteSource(pieces: a.pieces + b.pieces) }
}

/// Reads a `ByteSource` piece by piece.
struct ByteSourceReader: ~Copyable {
    private var pieces: ArraySlice<ByteSource.Piece>
    private var offset = 0
    private var file: Descriptor?

    init(_ source: ByteSource) { pieces = source.pieces[...] }

    /// - Returns: how many bytes were put into `buffer`; 0 at the end of the source.
    /// - Throws: `InputFailure`.
    mutating func read(into buffer: UnsafeMutableRawBufferPointer) throws(InputFailure) -> Int {
        while let piece = pieces.first {
            let count: Int
            switch piece {
            case .bytes(let bytes): count = bytes.withUnsafeBytes { copy($0, into: buffer) }
            case .secret(let secret): count = secret.withUnsafeBytes { copy($0, into: buffer) }
            case .file(let path): count = try readFile(path, into: buffer)
            case .reading(let read):
                do { count = try read(buffer) } catch { throw InputFailure(reason: printable("\(error)", limit: 200)) }
                guard (0...buffer.count).contains(count) else { throw InputFailure(reason: "its reader returned \(count)") }
            }
            if count > 0 { return count }
            pieces = pieces.dropFirst()
            offset = 0
        }
        return 0
    }

    private mutating func copy(_ bytes: UnsafeRawBufferPointer, into buffer: UnsafeMutableRawBufferPointer) -> Int {
        let count = min(buffer.count, bytes.count - offset)
        buffer.copyMemory(from: UnsafeRawBufferPointer(rebasing: bytes[offset..<offset + count]))
        offset += count
        return count
    }

    private mutating func readFile(_ path: String, into buffer: UnsafeMutableRawBufferPointer) throws(InputFailure) -> Int {
        do throws(SystemFailure) {
            let file = if let file { file } else { try Descriptor.open(path, O_RDONLY) }
            let count = try file.read(into: buffer)
            self.file = count == 0 ? nil : file
            return count
        } catch {
            throw InputFailure(reason: "\(error.call) \(printable(path, limit: 200)): \(error.reason)")
        }
    }
}

/// The input of a command could not be read.
struct InputFailure: Error { let reason: String }

import Sodium
import Testing

@testable import SSH

struct ByteSourceTests {
    private struct Broken: Error {}

    /// Reads all of it, at most `size` bytes at a time.
    private func drain(_ source: ByteSource, size: Int) throws -> [UInt8] {
        var reader = ByteSourceReader(source)
        let buffer = InputBuffer(count: size)
        var result: [UInt8] = []
        while true {
            let count = try reader.read(into: buffer.whole)
            if count == 0 { return result }
            result.append(contentsOf: buffer.whole[..<count])
        }
    }

    @Test(arguments: [1, 3, 64, 100_000]) func piecesComeOneAfterTheOther(size: Int) throws {
        let folder = try ScratchFolder()
        let text = String(repeating: "file ", count: 1000)
        let source =
            try .bytes([1, 2, 3]) + .empty + .bytes([]) + .secret(SecretBytes(copying: [4, 5]))
            + .file(path: folder.write(text, to: "f")) + .file(path: "/dev/null") + .bytes([6])
        #expect(try drain(source, size: size) == [1, 2, 3, 4, 5] + Array(text.utf8) + [6])
        #expect(try drain(.empty, size: size) == [])
    }

    @Test func aReaderIsCalledUntilItReturnsNothing() throws {
        let (stream, feed) = AsyncStream.makeStream(of: Int.self)
        let source = ByteSource.reading { buffer in
            feed.yield(buffer.count)
            return 0
        }
        #expect(try drain(source + .bytes([9]), size: 8) == [9])
        feed.finish()
        _ = stream
    }

    @Test func whatCannotBeReadIsNamed() {
        let missing = #expect(throws: InputFailure.self) { try drain(.file(path: "/nonexistent/a\nb"), size: 8) }
        #expect(missing?.reason == "open /nonexistent/a\\nb: No such file or directory")
        #expect(throws: InputFailure.self) { try drain(.file(path: "/tmp"), size: 8) }
        #expect(throws: InputFailure.self) { try drain(.reading { _ in throw Broken() }, size: 8) }
        #expect(throws: InputFailure.self) { try drain(.reading { _ in 9 }, size: 8) }
        #expect(throws: InputFailure.self) { try drain(.reading { _ in -1 }, size: 8) }
    }
}

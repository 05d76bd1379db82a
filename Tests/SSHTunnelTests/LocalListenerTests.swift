import Glibc
import Syscalls
import TestFiles
import Testing

@testable import SSHTunnel

@Suite struct LocalListenerTests {
    private let folder: TemporaryFolder

    init() throws { folder = try TemporaryFolder() }

    private var path: String { folder("a.sock") }

    private func mode() throws -> mode_t? { try fileStatus(at: path).map { $0.st_mode & 0o7777 } }

    @Test func itsSocketIsForItsOwnerAloneAndGoesWithIt() throws {
        let listener = try LocalListener(.socket(path))
        #expect(try mode() == 0o600)
        listener.close()
        #expect(try mode() == nil)
    }

    @Test func whatAProcessLeftIsMadeAnew() throws {
        do { _ = try LocalListener(.socket(path)) }
        #expect(try mode() != nil, "nobody closed it")
        let listener = try LocalListener(.socket(path))
        try Descriptor.socket(AF_UNIX).connect(to: SocketAddress(unix: path))
        listener.close()
    }

    @Test func anothersIsLeftAlone() throws {
        let first = try LocalListener(.socket(path))
        let error = #expect(throws: LocalListenerError.self) { try LocalListener(.socket(path)) }
        #expect(error?.description.contains("is another process there?") == true)
        try Descriptor.socket(AF_UNIX).connect(to: SocketAddress(unix: path))
        // Somebody puts his own in its place.
        unlink(path)
        let second = try LocalListener(.socket(path))
        first.close()
        #expect(try mode() != nil)
        second.close()
    }

    @Test func whatIsNoSocketIsLeftAlone() throws {
        _ = try folder.write("a.sock", "words")
        #expect(throws: LocalListenerError.self) { try LocalListener(.socket(path)) }
        #expect(folder.read("a.sock") == "words")
        #expect(throws: LocalListenerError.self) { try LocalListener(.socket("/" + String(repeating: "x", count: 200))) }
    }

    @Test func whoWaitsTooLongIsTurnedAway() throws {
        let listener = try LocalListener(.socket(path))
        let client = try Descriptor.socket(AF_UNIX)
        try client.connect(to: SocketAddress(unix: path))
        listener.turnAway()
        var byte: [UInt8] = [0]
        #expect(try client.read(into: &byte) == 0)
        listener.close()
    }
}

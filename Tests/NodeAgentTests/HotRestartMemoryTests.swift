import Foundation
import NodeDocument
import TestFiles
import Testing

@testable import NodeAgent

/// The memory that Envoys share, as 1.36.2 and 1.40.0 lay it out.
@Suite struct HotRestartMemoryTests {
    private func words(size: UInt64 = 104, version: UInt64 = 11, flags: UInt64) -> Data {
        var words = [UInt64](repeating: 0x90, count: 13)
        (words[0], words[1], words[12]) = (size, version, flags)
        return words.withUnsafeBytes { Data($0) }
    }

    @Test func markOfOneThatDiedIsTakenAway() throws {
        let folder = try TemporaryFolder()
        let path = folder.path + "/memory"
        try words(flags: 5).write(to: URL(filePath: path))
        let memory = HotRestartMemory(path: path)
        #expect(try memory.forgetInitialization())
        #expect(try Data(contentsOf: URL(filePath: path)) == words(flags: 4))
        #expect(try !memory.forgetInitialization())
    }

    @Test func otherFormsAreLeftAlone() throws {
        let folder = try TemporaryFolder()
        let path = folder.path + "/memory"
        for other in [words(size: 112, flags: 1), words(version: 12, flags: 1), Data([1, 2]), Data()] {
            try other.write(to: URL(filePath: path))
            #expect(throws: AgentError.self) { try HotRestartMemory(path: path).forgetInitialization() }
            #expect(try Data(contentsOf: URL(filePath: path)) == other)
        }
        #expect(throws: AgentError.self) { try HotRestartMemory(path: folder.path + "/none").forgetInitialization() }
    }
}

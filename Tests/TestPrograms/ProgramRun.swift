import Foundation
import Syscalls

/// How a program ended, and what it printed.
public struct ProgramRun: Sendable {
    /// Its exit code; 128 and the signal's number where one ended it.
    public let status: Int32
    public let bytes: [UInt8]
    public let errors: String

    public var output: String { String(decoding: bytes, as: UTF8.self) }

    /// Runs a program to its end, with this process's environment. Not by Foundation's Process: that crashes now and then in a process
    /// with a thousand descriptors, for it copies directory entries beyond their buffer's end, and it waits for every heir of its own.
    /// - Parameters:
    ///   - program: a path, or a name that is looked for in `PATH`.
    ///   - mergesErrors: whether what it says on standard error comes in `output`, among the rest.
    /// - Throws: `SystemFailure` where it cannot be started, `DidNotEnd` after two minutes.
    public init(
        _ program: String, _ arguments: [String] = [], input: [UInt8] = [], mergesErrors: Bool = false,
        in folder: String? = nil
    ) throws {
        var spawn = Spawn(program, arguments, environment: environment([:]), folder: folder)
        spawn.searchesPath = true
        if !input.isEmpty { spawn.input = try Self.file(input) }
        let limit = 256 << 20
        guard let finished = try spawn.run(mergesErrors ? .withOutput : .apart, limit: limit, until: .now + .seconds(120)) else {
            throw DidNotEnd(program: program)
        }
        let ending = finished.ending
        status = ending.signal == 0 ? ending.exitCode : 128 + ending.signal
        bytes = finished.output
        self.errors = String(decoding: finished.errors, as: UTF8.self)
    }

    public struct DidNotEnd: Error {
        public let program: String
    }

    /// A file without a name, to be read from its beginning.
    private static func file(_ content: [UInt8]) throws -> Descriptor {
        var path = Array("/tmp/tidegate-test-input-XXXXXX".utf8CString)
        let file = try Descriptor("mkstemp") { mkstemp(&path) }
        unlink(path)
        try file.writeAll(content)
        lseek(file.number, 0, SEEK_SET)
        return file
    }
}

func environment(_ more: [String: String]) -> [String] {
    ProcessInfo.processInfo.environment.merging(more) { $1 }.map { "\($0)=\($1)" }
}

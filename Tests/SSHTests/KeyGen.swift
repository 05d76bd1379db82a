import Foundation
import TestPrograms

/// A folder that goes with its owner.
final class ScratchFolder {
    let path: String

    init() throws {
        path = NSTemporaryDirectory() + "tidegate-ssh-" + UUID().uuidString
        try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: false)
    }

    deinit { try? FileManager.default.removeItem(atPath: path) }

    func write(_ text: String, to name: String) throws -> String {
        try text.write(toFile: path + "/" + name, atomically: false, encoding: .utf8)
        return path + "/" + name
    }

    /// Makes a key pair with ssh-keygen.
    /// - Returns: the private file, and the public key as a known_hosts line has it: type and base64.
    func key(_ name: String, type: String, options: [String] = [], passphrase: String = "") throws -> (file: String, text: String)
    {
        let file = path + "/" + name
        let arguments = ["-q", "-t", type, "-N", passphrase, "-C", "test", "-f", file] + options
        guard try ProgramRun("/usr/bin/ssh-keygen", arguments).status == 0 else { throw KeyGenFailed(arguments: arguments) }
        let words = try String(contentsOfFile: file + ".pub", encoding: .utf8).split(separator: " ")
        return (file, words.prefix(2).joined(separator: " "))
    }
}

struct KeyGenFailed: Error { let arguments: [String] }

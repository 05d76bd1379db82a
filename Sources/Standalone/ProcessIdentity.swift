import Glibc

/// A process by its number and the moment it started, so that a number given out anew is not mistaken for it.
struct ProcessIdentity: Equatable {
    let pid: pid_t
    /// Clock ticks after boot: field 22 of /proc/PID/stat (proc(5)).
    let startTime: String

    /// - Returns: nil when there is no such process.
    init?(pid: pid_t) {
        guard let (time, _) = Self.stat(pid) else { return nil }
        self.pid = pid
        startTime = time
    }

    /// - Returns: nil when the file is missing or holds something else.
    init?(pidFile: String) {
        guard let text = readSmallFile(pidFile) else { return nil }
        let words = text.split { $0 == " " || $0 == "\n" }
        guard words.count == 2, let pid = pid_t(words[0]), pid > 1 else { return nil }
        self.pid = pid
        startTime = String(words[1])
    }

    /// Whether it still runs; one that only waits to be reaped does not.
    var isAlive: Bool {
        guard let (time, state) = Self.stat(pid) else { return false }
        return time == startTime && state != "Z"
    }

    func write(to path: String) throws(LocalUplinkError) {
        let temporary = "\(path).new"
        let file = open(temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0o600)
        guard file >= 0 else { throw LocalUplinkError("\(temporary) cannot be written: \(String(cString: strerror(errno)))") }
        let bytes = Array("\(pid) \(startTime)\n".utf8)
        let count = Glibc.write(file, bytes, bytes.count)
        close(file)
        guard count == bytes.count, rename(temporary, path) == 0 else {
            throw LocalUplinkError("\(path) cannot be written: \(String(cString: strerror(errno)))")
        }
    }

    private static func stat(_ pid: pid_t) -> (startTime: String, state: Substring)? {
        // The name, in parentheses, may hold anything; what counts stands after the last of them.
        guard let text = readSmallFile("/proc/\(pid)/stat"), let end = text.lastIndex(of: ")") else { return nil }
        let fields = text[text.index(after: end)...].split(separator: " ")
        guard fields.count > 19 else { return nil }
        return (String(fields[19]), fields[0])
    }
}

private func readSmallFile(_ path: String) -> String? {
    let file = open(path, O_RDONLY | O_CLOEXEC)
    guard file >= 0 else { return nil }
    defer { close(file) }
    var buffer = [UInt8](repeating: 0, count: 4096)
    let count = read(file, &buffer, buffer.count)
    return count >= 0 ? String(decoding: buffer[..<count], as: UTF8.self) : nil
}

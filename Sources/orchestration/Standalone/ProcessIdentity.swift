import Glibc
import Syscalls

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
        do throws(SystemFailure) {
            try replaceFile(path, with: Array("\(pid) \(startTime)\n".utf8), mode: 0o600, through: "\(path).new")
        } catch {
            throw LocalUplinkError("\(path) cannot be written: \(error.reason)")
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

/// Nil for none, and for one that is not small.
func readSmallFile(_ path: String) -> String? {
    (try? Descriptor.contents(of: path, limit: 65536)).map { String(decoding: $0, as: UTF8.self) }
}

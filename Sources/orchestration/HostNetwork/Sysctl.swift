import Glibc
public import NetworkTypes
import Syscalls

/// The name of a kernel setting, as sysctl(8) writes it: `net.core.rmem_max`, or with slashes where a part holds a dot,
/// `net/ipv4/conf/eth0.1/rp_filter`.
public struct SysctlKey: StringValue {
    private let parts: [String]

    public init(parsing text: String) throws(InvalidValue) {
        let parts = text.split(separator: text.contains("/") ? "/" : ".", omittingEmptySubsequences: false).map(String.init)
        let isPlain = parts.allSatisfy { part in
            !part.isEmpty && part != "." && part != ".." && part.utf8.allSatisfy { $0 > 0x20 && $0 < 0x7F }
        }
        guard parts.count >= 2, isPlain else {
            throw InvalidValue(expected: "kernel setting", given: text, reason: "want a name such as net.core.rmem_max")
        }
        self.parts = parts
    }

    public var description: String { parts.joined(separator: parts.contains { $0.contains(".") } ? "/" : ".") }
    var path: String { "/proc/sys/" + parts.joined(separator: "/") }
}

/// A kernel setting that was changed.
public struct SysctlChange: Hashable, Codable, Sendable, CustomStringConvertible {
    public let key: SysctlKey
    /// What to put back when it is no longer wanted.
    public let former: String
    public let value: String

    public init(key: SysctlKey, former: String, value: String) {
        self.key = key
        self.former = former
        self.value = value
    }

    public var description: String { "\(key) \(value) (was \(former))" }
}

/// The kernel's settings under /proc/sys; those of `net` are of the calling thread's network namespace.
public enum Sysctl {
    /// Longer than any setting of the kernel that we touch.
    private static let lengthLimit = 4096

    /// - Returns: the value with white space folded; nil when this kernel does not have the setting.
    public static func read(_ key: SysctlKey) throws(HostNetworkError) -> String? {
        try kernelFile(key.path, limit: lengthLimit).map(folded)
    }

    /// Writes the value unless it stands already, and reads it back.
    /// - Returns: nil when it stood already.
    /// - Throws: `settingNotKept` when it reads differently afterwards; `system` with ENOENT when there is no such setting.
    public static func set(_ key: SysctlKey, to value: String) throws(HostNetworkError) -> SysctlChange? {
        guard let former = try read(key) else { throw .system(attempt: "open \(key.path)", errno: ENOENT) }
        let wanted = folded(value)
        guard former != wanted else { return nil }
        let file = try attempting("open \(key.path) to write it") { () throws(SystemFailure) in
            try Descriptor.open(key.path, O_WRONLY)
        }
        // An empty list: to write nothing would change nothing.
        try attempting("write \(printable(wanted)) to \(key.path)") { () throws(SystemFailure) in
            try file.writeAll(Array((wanted.isEmpty ? "\n" : wanted).utf8))
        }
        let found = try read(key) ?? ""
        guard found == wanted else { throw .settingNotKept(key, wanted: wanted, found: found) }
        return SysctlChange(key: key, former: former, value: wanted)
    }

    /// Raises a numeric setting to `minimum`; a higher value stays.
    /// - Returns: nil when it was high enough.
    public static func raise(_ key: SysctlKey, to minimum: Int) throws(HostNetworkError) -> SysctlChange? {
        if let value = try read(key).flatMap({ Int($0) }), value >= minimum { return nil }
        return try set(key, to: String(minimum))
    }

    private static func folded(_ text: String) -> String {
        text.split(whereSeparator: \.isWhitespace).joined(separator: " ")
    }
}

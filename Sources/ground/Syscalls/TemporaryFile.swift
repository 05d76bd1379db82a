import CLinuxHeaders
import Glibc

/// A new file in /tmp that others may read, with a name of its own.
public func writeTemporaryFile(_ bytes: [UInt8]) throws(SystemFailure) -> String {
    var name = Array("/tmp/tidegate-XXXXXX".utf8CString)
    let file = try Descriptor("mkostemp") { mkostemp(&name, O_CLOEXEC) }
    try calling("fchmod") { fchmod(file.number, 0o644) }
    try file.writeAll(bytes)
    return String(decoding: name.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
}

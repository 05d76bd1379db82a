import Glibc
import Syscalls

/// A file that could not be read, and why.
struct FileProblem: Error, Equatable {
    let path: String
    let code: Int32

    var isMissing: Bool { code == ENOENT || code == ENOTDIR }
    var message: String {
        switch code {
        case ENOENT, ENOTDIR: "there is no such file"
        case EACCES, EPERM: "may not be read by user \(geteuid())"
        case EISDIR: "is a folder"
        case EFBIG: "is longer than \(fileLimit) bytes"
        default: errnoText(code)
        }
    }
    var accessError: ClusterAccessError { ClusterAccessError(path, message) }
}

/// Far above any kubeconfig, bundle of authorities or token.
private let fileLimit = 1 << 20

func readFile(_ path: String) throws(FileProblem) -> [UInt8] {
    guard !path.utf8.contains(0) else { throw FileProblem(path: path, code: ENOENT) }
    do throws(SystemFailure) {
        return try Descriptor.contents(of: path, limit: fileLimit)
    } catch {
        throw FileProblem(path: path, code: error.code)
    }
}

internal import Glibc

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
        default: String(cString: strerror(code))
        }
    }
    var accessError: ClusterAccessError { ClusterAccessError(path, message) }
}

/// Far above any kubeconfig, bundle of authorities or token.
private let fileLimit = 1 << 20

func readFile(_ path: String) throws(FileProblem) -> [UInt8] {
    guard !path.utf8.contains(0) else { throw FileProblem(path: path, code: ENOENT) }
    // A named pipe must not hold us up.
    let descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK)
    guard descriptor >= 0 else { throw FileProblem(path: path, code: errno) }
    defer { close(descriptor) }
    var bytes: [UInt8] = []
    var buffer = [UInt8](repeating: 0, count: 16384)
    while true {
        let count = read(descriptor, &buffer, buffer.count)
        if count < 0 {
            if errno == EINTR { continue }
            throw FileProblem(path: path, code: errno)
        }
        if count == 0 { return bytes }
        bytes += buffer[..<count]
        guard bytes.count <= fileLimit else { throw FileProblem(path: path, code: EFBIG) }
    }
}

public import NetworkTypes
public import NodeDocument
public import Sodium
import Syscalls

/// Where hosts get their Envoy from: `--envoy-source`.
public enum EnvoySource: Hashable, Sendable {
    /// An http or https URL that every host downloads from, `{version}` filled in; the SHA-256 is required.
    case url(String, SHA256Digest)
    /// A file here that is pushed to the hosts.
    case file(path: String, length: Int, SHA256Digest)

    /// - Parameter sha256: required for a URL; for a file it is checked, and computed when nil.
    /// - Throws: `InvalidValue` that names the flag's value.
    public init(parsing text: String, version: String, sha256: SHA256Digest?) throws(InvalidValue) {
        if text.hasPrefix("https://") || text.hasPrefix("http://") {
            guard let sha256 else {
                throw InvalidValue(
                    expected: "--envoy-source", given: text,
                    reason: "a URL needs --envoy-sha256, so that hosts can check the download")
            }
            let url = text.split(separator: "{version}", omittingEmptySubsequences: false).joined(separator: version)
            guard url.utf8.allSatisfy({ $0 > 0x20 && $0 < 0x7F }) else {
                throw InvalidValue(
                    expected: "--envoy-source", given: text, reason: "a URL has no spaces or characters outside ASCII")
            }
            self = .url(url, sha256)
            return
        }
        let (length, digest): (Int, SHA256Digest)
        do throws(SystemFailure) {
            (length, digest) = try digestOfFile(text)
        } catch {
            throw InvalidValue(expected: "--envoy-source", given: text, reason: "cannot be read: \(error.reason)")
        }
        if let sha256, sha256 != digest {
            throw InvalidValue(
                expected: "--envoy-source", given: text, reason: "its SHA-256 is \(digest), but --envoy-sha256 says \(sha256)")
        }
        self = .file(path: text, length: length, digest)
    }

    var isDownloaded: Bool {
        switch self {
        case .url: true
        case .file: false
        }
    }

    /// What documents say of it.
    public func release(version: String) -> EnvoyRelease {
        switch self {
        case .url(let url, let digest): EnvoyRelease(version: version, sha256: digest, url: url)
        case .file(_, _, let digest): EnvoyRelease(version: version, sha256: digest, url: nil)
        }
    }
}

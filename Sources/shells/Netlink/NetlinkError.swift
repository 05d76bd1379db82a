import CLinuxHeaders
import Glibc
public import NetlinkMessages

/// A request to the kernel that failed: what was asked, and why.
public struct NetlinkError: Error, Hashable, Sendable, CustomStringConvertible {
    /// The request as `NetlinkMessage.description` words it.
    public let request: String
    public let cause: Cause

    public enum Cause: Hashable, Sendable {
        /// The kernel said no; `message` is its own explanation (NETLINK_EXT_ACK), where it has one.
        case refused(errno: Int32, message: String?)
        case systemCall(String, errno: Int32)
        /// Nothing came back in time; what was asked may have been done.
        case timedOut(Duration)
        /// Answers did not fit into the socket's buffer; what was asked may have been done.
        case answersLost
        /// The tables changed under every attempt to read them.
        case alwaysInterrupted(attempts: Int)
        case malformed(MalformedNetlink)
    }

    public init(request: String, cause: Cause) {
        self.request = request
        self.cause = cause
    }

    /// The kernel's verdict; nil when it gave none.
    public var errno: Int32? { if case .refused(let errno, _) = cause { errno } else { nil } }

    public var description: String { "\(request): \(cause)" }

    /// `EACCES: Permission denied`.
    public static func text(errno: Int32) -> String { "\(Cause.name(errno)): \(Cause.words(errno))" }
}

extension NetlinkError.Cause: CustomStringConvertible {
    public var description: String {
        switch self {
        case .refused(let errno, let message):
            let advice = Self.advice[errno].map { "; \($0)" } ?? ""
            return Self.name(errno) + (message.map { ": \($0)" } ?? ": \(Self.words(errno))") + advice
        case .systemCall(let call, let errno): return "\(call): \(NetlinkError.text(errno: errno))"
        case .timedOut(let duration): return "no answer from the kernel within \(duration); read the state again before retrying"
        case .answersLost: return "the kernel's answers did not fit the socket's buffer; read the state again before retrying"
        case .alwaysInterrupted(let attempts): return "the tables changed during each of \(attempts) attempts to read them; retry"
        case .malformed(let malformed): return "\(malformed)"
        }
    }

    private static let advice: [Int32: String] = [
        EPERM: "CAP_NET_ADMIN in this network namespace is needed",
        EOPNOTSUPP: "the kernel, or a module it has not loaded, does not support this",
    ]

    fileprivate static func name(_ errno: Int32) -> String {
        strerrorname_np(errno).map { String(cString: $0) } ?? "errno \(errno)"
    }
    fileprivate static func words(_ errno: Int32) -> String {
        strerrordesc_np(errno).map { String(cString: $0) } ?? "unknown error"
    }
}

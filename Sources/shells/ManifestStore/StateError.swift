import NetworkTypes

/// What went wrong with the state folder: what was tried, on what, the cause, and what to do.
public struct StateError: Error, Hashable, Sendable, CustomStringConvertible {
    public enum Kind: Hashable, Sendable {
        /// Another controller holds the folder.
        case inUse
        /// A file is there and makes no sense. It is left as it is.
        case corrupted
        /// Two EdgeNodes want the same sub-folder.
        case nameClash
        /// The operating system refused.
        case system
    }

    public let kind: Kind
    public let path: String
    public let message: String

    init(_ kind: Kind, _ path: String, _ message: String) {
        self.kind = kind
        self.path = path
        self.message = message
    }

    init(_ failure: FileFailure) {
        let advice =
            switch failure.code {
            case 28: "; make room on the disk"  // ENOSPC
            case 13, 1: "; run as the folder's owner"  // EACCES, EPERM
            default: ""
            }
        self.init(.system, failure.path, "\(failure.call) failed: \(failure.reason)\(advice)")
    }

    public var description: String { "state \(printable(path, limit: 400)): \(message)" }
}

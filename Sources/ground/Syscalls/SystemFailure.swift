import Glibc

/// A call of the operating system that failed. Whoever made it knows on what, and says so in words of its own.
public struct SystemFailure: Error, Hashable, Sendable, CustomStringConvertible {
    /// As its manual page is named: `open`.
    public let call: String
    /// The errno that it left.
    public let code: Int32

    public init(_ call: String, _ code: Int32) {
        self.call = call
        self.code = code
    }

    /// `No such file or directory`.
    public var reason: String { errnoText(code) }
    /// Whether there is nothing by that path.
    public var isMissing: Bool { code == ENOENT || code == ENOTDIR }
    public var description: String { "\(call): \(reason)" }
}

/// The system's words for an errno. glibc keeps them per thread (strerror(3), since 2.32).
public func errnoText(_ code: Int32) -> String { strerror(code).map { String(cString: $0) } ?? "error \(code)" }

/// Runs a call that answers a negative number and sets errno when it fails, again when a signal interrupted it.
///
/// errno is taken before anything else is done: allocating memory, as every text does, may set it.
/// - Parameter name: `SystemFailure.call`.
@discardableResult
public func calling(_ name: String, _ call: () -> Int) throws(SystemFailure) -> Int {
    while true {
        let result = call()
        let code = errno
        if result >= 0 { return result }
        if code != EINTR { throw SystemFailure(name, code) }
    }
}

@discardableResult
public func calling(_ name: String, _ call: () -> Int32) throws(SystemFailure) -> Int32 {
    Int32(truncatingIfNeeded: try calling(name) { Int(call()) })
}

/// Why a VPS could not be brought to what its document says.
public struct EnrollmentError: Error, Hashable, Sendable, CustomStringConvertible {
    /// The reason as conditions show it.
    public enum Reason: String, Hashable, Sendable {
        case sshSecretInvalid = "SSHSecretInvalid"
        case unreachable = "Unreachable"
        case hostKeyUnknown = "HostKeyUnknown"
        case hostKeyChanged = "HostKeyChanged"
        case authenticationFailed = "AuthenticationFailed"
        /// The login runs no command of ours.
        case loginUnusable = "LoginUnusable"
        case connectionLost = "ConnectionLost"
        /// A step on the VPS did not end in its time.
        case timedOut = "TimedOut"
        case sudoPasswordMissing = "SudoPasswordMissing"
        case sudoPasswordWrong = "SudoPasswordWrong"
        case sudoRefused = "SudoRefused"
        case agentInstallFailed = "AgentInstallFailed"
        case agentFailed = "AgentFailed"
        case envoyInstallFailed = "EnvoyInstallFailed"
        case foreignOwner = "ForeignOwner"
        case staleEpoch = "StaleEpoch"
        case unsupportedHost = "UnsupportedHost"
        case diskFull = "DiskFull"
        case documentRefused = "DocumentRefused"
        case busy = "Busy"
    }

    public var reason: Reason
    /// What was tried, on what, why it failed, and what to do.
    public var message: String
    public var followUp: FollowUp
    /// The epoch that the VPS holds, where the agent told it; nil otherwise.
    public var epochSeen: UInt64?

    public init(reason: Reason, message: String, followUp: FollowUp, epochSeen: UInt64? = nil) {
        self.reason = reason
        self.message = message
        self.followUp = followUp
        self.epochSeen = epochSeen
    }

    public var description: String { "\(reason.rawValue): \(message)" }
}

import SSH

/// What came between a command and its end.
enum Obstacle: Error {
    case connection(SSHError)
    case host(EnrollmentError)

    var isLostConnection: Bool { if case .connection(let error) = self { error.isLostConnection } else { false } }

    func inOurTerms(doing step: String) -> EnrollmentError {
        switch self {
        case .connection(let error): EnrollmentError(error, doing: step)
        case .host(let error): error
        }
    }
}

extension SSHError {
    fileprivate var isLostConnection: Bool {
        switch reason {
        case .connectionLost, .closed, .idleTimedOut: true
        default: false
        }
    }
}

extension EnrollmentError {
    init(_ error: SSHError, doing step: String) {
        let reason: Reason
        switch error.reason {
        case .hostKeyUnknown: reason = .hostKeyUnknown
        case .hostKeyChanged, .hostKeyRevoked: reason = .hostKeyChanged
        case .authenticationRefused, .secondFactorWanted, .authenticationTimedOut: reason = .authenticationFailed
        case .keyUnreadable: reason = .sshSecretInvalid
        case .connectionLost, .idleTimedOut, .excess, .closed, .cancelled: reason = .connectionLost
        case .commandTimedOut: reason = .timedOut
        case .notReady: reason = .loginUnusable
        case .channelRefused, .listeningRefused, .outputTooLarge, .inputFailed: reason = .agentFailed
        case .nameUnresolvable, .unreachable, .refused, .connectTimedOut, .handshakeTimedOut, .notSSH, .noCommonAlgorithm,
            .protocolFailure, .outOfResources:
            reason = .unreachable
        }
        // A key that cannot be read stands in the Secret; all else was the VPS's word.
        let cure: FollowUp = reason == .sshSecretInvalid ? .waiting : .refused
        self.init(reason: reason, message: "\(error) (during \(step))", followUp: error.needsUser ? cure : .retry)
    }
}

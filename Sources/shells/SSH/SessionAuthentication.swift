import CLibssh2
import Glibc
import NetworkTypes
import Sodium

extension Session {
    /// Tries key, password and keyboard-interactive, each only when there is something to try it with and the server offers it.
    ///
    /// A server counts what fails (MaxAuthTries), and the question for its methods too unless that comes first. So with a password
    /// at hand it is asked first; a key alone is tried at once, which saves a round trip, and mostly works. One password is offered
    /// once only: what guards against guessing counts every time.
    /// - Throws: `SSHError`; `untried` is then what is left where the server hung up after another credential.
    func authenticate(_ credentials: SSHCredentials) throws(SSHError) {
        var login = LoginCourse()
        do throws(SSHError) {
            if try follow(credentials, &login) { return }
        } catch {
            guard case .connectionLost(_, let detail) = error.reason, !login.tried.isEmpty else { throw error }
            // Nobody hangs up on the first credential but to turn it down.
            login.hints.append("\(detail): it ends a session after few tries (MaxAuthTries)")
            if login.tried == ["publickey"], credentials.password != nil { untried = credentials.withoutKey }
            throw endpoint.failure(login.refusal)
        }
        throw endpoint.failure(login.refusal)
    }

    /// - Returns: whether the server let us in.
    private func follow(_ credentials: SSHCredentials, _ login: inout LoginCourse) throws(SSHError) -> Bool {
        let user = credentials.user
        if credentials.password != nil {
            login.offered = try offeredMethods(user: user)
            if libssh2_userauth_authenticated(handle) == 1 { return true }
        }
        if let key = credentials.privateKey, login.offers("publickey") {
            login.tried.append("publickey")
            switch try tryKey(key, user: user) {
            case .accepted: return true
            case .refused:
                if key.kind == .rsa, !Algorithms.isLibraryNew {
                    login.hints.append(
                        "libssh2 \(libraryVersion) cannot sign with RSA and SHA-2 as today's servers demand; "
                            + "use an ed25519 or ECDSA key")
                }
            case .notEnough:
                login.isHalfway = true
                login.offered = nil
            }
        }
        if login.offered == nil { login.offered = try offeredMethods(user: user) }
        if libssh2_userauth_authenticated(handle) == 1 { return true }
        guard let password = credentials.password else { return false }
        if login.offers("password") {
            login.tried.append("password")
            switch try tryPassword(password, user: user) {
            case 0: return true
            case LIBSSH2_ERROR_PASSWORD_EXPIRED: login.hints.append("the password has expired and must be changed first")
            default: break
            }
        } else if login.offers("keyboard-interactive") {
            login.tried.append("keyboard-interactive")
            if try tryPrompts(password, user: user) { return true }
            if login.isHalfway {
                let prompt = wire.prompt.map { " asked \"\($0)\" and" } ?? ""
                login.hints.append("it\(prompt) did not take the Secret's password")
            }
        }
        return false
    }

    private var libraryVersion: String { libssh2_version(0).map { String(cString: $0) } ?? "?" }

    private enum KeyAnswer {
        case accepted, refused
        /// It was taken, and the server wants more.
        case notEnough
    }

    private func tryKey(_ key: SSHPrivateKey, user: String) throws(SSHError) -> KeyAnswer {
        let code = try call(.authentication) { handle in
            key.file.withUnsafeBytes { file in
                key.passphrase.withUnsafeBytes { passphrase in
                    libssh2_userauth_publickey_frommemory(
                        handle, user, user.utf8.count, nil, 0, file.baseAddress?.assumingMemoryBound(to: CChar.self),
                        file.count - 1, passphrase.baseAddress?.assumingMemoryBound(to: CChar.self))
                }
            }
        }
        if code == 0 { return .accepted }
        // libssh2 calls the end of the session what it was waiting for, such as a key that is not verified.
        if isCut(code) { throw failure(.authentication, code: LIBSSH2_ERROR_SOCKET_DISCONNECT) }
        if code == LIBSSH2_ERROR_AUTHENTICATION_FAILED { return .refused }
        if code == LIBSSH2_ERROR_PUBLICKEY_UNVERIFIED, lastErrorText.hasPrefix("Invalid signature") {
            // The server had said that it knows the key. An RSA key it turns down for the old way of signing.
            return key.kind == .rsa && !Algorithms.isLibraryNew ? .refused : .notEnough
        }
        let advice =
            key.isEncrypted
            ? "its passphrase is wrong, or libssh2 \(libraryVersion) does not know its format"
            : "libssh2 \(libraryVersion) does not know its format or it is damaged"
        throw endpoint.failure(.keyUnreadable("\(advice); a key of \"ssh-keygen -t ed25519\" works (\(lastErrorText))"))
    }

    /// The names the server answers to a login without credentials (RFC 4252, section 5.2).
    private func offeredMethods(user: String) throws(SSHError) -> [String] {
        while true {
            if let list = libssh2_userauth_list(handle, user, UInt32(user.utf8.count)) {
                return String(cString: list).split(separator: ",").prefix(16).map { printable(String($0), limit: 40) }
            }
            if libssh2_userauth_authenticated(handle) == 1 { return [] }
            let code = libssh2_session_last_errno(handle)
            if code == LIBSSH2_ERROR_EAGAIN {
                try wait(.authentication)
            } else {
                throw failure(.authentication, code: isCut(code) ? LIBSSH2_ERROR_SOCKET_DISCONNECT : code)
            }
        }
    }

    /// - Returns: 0 when logged in, else libssh2's error for a refusal.
    private func tryPassword(_ password: SecretBytes, user: String) throws(SSHError) -> Int32 {
        let code = try call(.authentication) { handle in
            password.withUnsafeBytes { bytes in
                libssh2_userauth_password_ex(
                    handle, user, UInt32(user.utf8.count), bytes.baseAddress?.assumingMemoryBound(to: CChar.self),
                    UInt32(bytes.count), nil)
            }
        }
        if !isCut(code), [0, LIBSSH2_ERROR_AUTHENTICATION_FAILED, LIBSSH2_ERROR_PASSWORD_EXPIRED].contains(code) {
            return code
        }
        throw failure(.authentication, code: isCut(code) ? LIBSSH2_ERROR_SOCKET_DISCONNECT : code)
    }

    private func tryPrompts(_ password: SecretBytes, user: String) throws(SSHError) -> Bool {
        wire.answer = password
        defer { wire.answer = nil }
        let code = try call(.authentication) {
            libssh2_userauth_keyboard_interactive_ex($0, user, UInt32(user.utf8.count), answerPrompts)
        }
        if code == 0 { return true }
        // libssh2 returns -1 for a refusal and keeps the real code.
        let real = libssh2_session_last_errno(handle)
        if isCut(real) { throw failure(.authentication, code: LIBSSH2_ERROR_SOCKET_DISCONNECT) }
        if real == LIBSSH2_ERROR_AUTHENTICATION_FAILED { return false }
        throw failure(.authentication, code: code)
    }
}

/// What a login has come to.
private struct LoginCourse {
    var tried: [String] = []
    /// Nil while the server has not been asked.
    var offered: [String]?
    var hints: [String] = []
    /// A credential was taken, but is not enough.
    var isHalfway = false

    /// A server that was not asked may take anything.
    func offers(_ method: String) -> Bool { offered?.contains(method) ?? true }

    var refusal: SSHError.Reason {
        isHalfway
            ? .secondFactorWanted(offered ?? [], hints: hints)
            : .authenticationRefused(tried: tried, offered: offered, hints: hints)
    }
}

/// Answers prompts that do not echo with the password and all others with nothing. libssh2 frees the copies.
private let answerPrompts:
    @convention(c) (
        UnsafePointer<CChar>?, Int32, UnsafePointer<CChar>?, Int32, Int32,
        UnsafePointer<LIBSSH2_USERAUTH_KBDINT_PROMPT>?, UnsafeMutablePointer<LIBSSH2_USERAUTH_KBDINT_RESPONSE>?,
        UnsafeMutablePointer<UnsafeMutableRawPointer?>?
    ) -> Void = { _, _, _, _, count, prompts, responses, abstract in
        guard count > 0, let prompts, let responses, let wire = wire(abstract) else { return }
        for index in 0..<Int(count) {
            let prompt = UnsafeRawBufferPointer(start: prompts[index].text, count: Int(prompts[index].length))
            if wire.prompt == nil { wire.prompt = printable(String(decoding: prompt.prefix(200), as: UTF8.self), limit: 60) }
            guard prompts[index].echo == 0, let answer = wire.answer else { continue }
            answer.withUnsafeBytes { bytes in
                responses[index].text = tidegate_ssh_duplicate(bytes.baseAddress, bytes.count, abstract)
                responses[index].length = responses[index].text == nil ? 0 : UInt32(bytes.count)
            }
        }
    }

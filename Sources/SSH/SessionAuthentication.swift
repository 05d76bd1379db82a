import CLibssh2
import Glibc
import NetworkTypes
import Sodium

extension Session {
    /// Tries key, password and keyboard-interactive, each only when there is something to try it with and, but for the
    /// key, only when the server offers it.
    ///
    /// The key is tried before the server is asked for its methods: asking costs a round trip, and a key mostly works.
    func authenticate(_ credentials: SSHCredentials) throws(SSHError) {
        var tried: [String] = []
        var hints: [String] = []
        if let key = credentials.privateKey {
            tried.append("publickey")
            if try tryKey(key, user: credentials.user) { return }
            if key.kind == .rsa, libssh2_version(0x01_0B_00) == nil {
                hints.append(
                    "libssh2 \(libraryVersion) cannot sign with RSA and SHA-2 as today's servers demand; "
                        + "use an ed25519 or ECDSA key")
            }
        }
        let offered = try offeredMethods(user: credentials.user)
        if libssh2_userauth_authenticated(handle) == 1 { return }
        if let password = credentials.password {
            if offered.contains("password") {
                tried.append("password")
                switch try tryPassword(password, user: credentials.user) {
                case 0: return
                case LIBSSH2_ERROR_PASSWORD_EXPIRED: hints.append("the password has expired and must be changed first")
                default: break
                }
            }
            if offered.contains("keyboard-interactive") {
                tried.append("keyboard-interactive")
                if try tryPrompts(password, user: credentials.user) { return }
            }
        }
        throw endpoint.failure(.authenticationRefused(tried: tried, offered: offered, hints: hints))
    }

    private var libraryVersion: String { libssh2_version(0).map { String(cString: $0) } ?? "?" }

    private func tryKey(_ key: SSHPrivateKey, user: String) throws(SSHError) -> Bool {
        let code = try call(.authentication) { handle in
            key.file.withUnsafeBytes { file in
                key.passphrase.withUnsafeBytes { passphrase in
                    libssh2_userauth_publickey_frommemory(
                        handle, user, user.utf8.count, nil, 0, file.baseAddress?.assumingMemoryBound(to: CChar.self),
                        file.count - 1, passphrase.baseAddress?.assumingMemoryBound(to: CChar.self))
                }
            }
        }
        if code == 0 { return true }
        if wire.failure != nil { throw failure(.authentication, code: code) }
        // The server's no, to the key itself or to the signature made with it.
        if code == LIBSSH2_ERROR_AUTHENTICATION_FAILED { return false }
        if code == LIBSSH2_ERROR_PUBLICKEY_UNVERIFIED, lastErrorText.hasPrefix("Invalid signature") { return false }
        if code == LIBSSH2_ERROR_SOCKET_DISCONNECT { throw failure(.authentication, code: code) }
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
            guard code == LIBSSH2_ERROR_EAGAIN else { throw failure(.authentication, code: code) }
            try wait(.authentication)
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
        if wire.failure == nil, [0, LIBSSH2_ERROR_AUTHENTICATION_FAILED, LIBSSH2_ERROR_PASSWORD_EXPIRED].contains(code) {
            return code
        }
        throw failure(.authentication, code: code)
    }

    private func tryPrompts(_ password: SecretBytes, user: String) throws(SSHError) -> Bool {
        wire.answer = password
        defer { wire.answer = nil }
        let code = try call(.authentication) {
            libssh2_userauth_keyboard_interactive_ex($0, user, UInt32(user.utf8.count), answerPrompts)
        }
        if code == 0 { return true }
        // libssh2 returns -1 for a refusal and keeps the real code.
        if wire.failure == nil, libssh2_session_last_errno(handle) == LIBSSH2_ERROR_AUTHENTICATION_FAILED { return false }
        throw failure(.authentication, code: code)
    }
}

/// Answers prompts that do not echo with the password and all others with nothing. libssh2 frees the copies.
private let answerPrompts:
    @convention(c) (
        UnsafePointer<CChar>?, Int32, UnsafePointer<CChar>?, Int32, Int32,
        UnsafePointer<LIBSSH2_USERAUTH_KBDINT_PROMPT>?, UnsafeMutablePointer<LIBSSH2_USERAUTH_KBDINT_RESPONSE>?,
        UnsafeMutablePointer<UnsafeMutableRawPointer?>?
    ) -> Void = { _, _, _, _, count, prompts, responses, abstract in
        guard count > 0, let prompts, let responses, let context = abstract?.pointee else { return }
        let wire = Unmanaged<Wire>.fromOpaque(context).takeUnretainedValue()
        for index in 0..<Int(count) {
            guard prompts[index].echo == 0, let answer = wire.answer else { continue }
            answer.withUnsafeBytes { bytes in
                responses[index].text = tidegate_ssh_duplicate(bytes.baseAddress, bytes.count)
                responses[index].length = responses[index].text == nil ? 0 : UInt32(bytes.count)
            }
        }
    }

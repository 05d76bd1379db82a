import CLibssh2
import Glibc
import Testing

@testable import SSH

/// OpenSSL stays whole while the process ends: a connection's thread may be ending too, and uses it.
@Suite struct ExitTests {
    @Test func openSSLIsNotTakenApartAtExit() async {
        await #expect(processExitsWith: .exitCode(0)) {
            try #require(libraryStart == 0)
            // Called when OpenSSL cleans up (OPENSSL_atexit(3)).
            OPENSSL_atexit { _exit(3) }
            exit(0)
        }
    }

    /// A hashed name of known_hosts is read before there is a session.
    @Test func norAfterAHashAlone() async {
        await #expect(processExitsWith: .exitCode(0)) {
            var output = [UInt8](repeating: 0, count: 20)
            try #require(tidegate_hmac_sha1([1], 1, [2], 1, &output) == 1)
            OPENSSL_atexit { _exit(3) }
            exit(0)
        }
    }
}

import CLibsodium

/// A call into libsodium failed; none of ours does on a healthy system.
public struct SodiumError: Error, CustomStringConvertible {
    public let call: String
    public var description: String { "libsodium: \(call) failed" }
}

/// Makes libsodium ready, once; safe from any thread (sodium_init(3)).
func prepareSodium() throws(SodiumError) {
    guard sodium_init() >= 0 else { throw SodiumError(call: "sodium_init") }
}

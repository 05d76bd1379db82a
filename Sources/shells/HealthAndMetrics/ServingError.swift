/// Why the controller cannot serve its probes or metrics; it names the flag at fault.
public enum ServingError: Error, Hashable, Sendable, CustomStringConvertible {
    /// The value of `flag` is no address.
    case badAddress(flag: String, value: String, reason: String)
    /// The address is well-formed, but nothing can listen there.
    case cannotListen(flag: String, address: String, cause: String)
    case certificateUnreadable(flag: String, path: String, cause: String)
    case keyUnreadable(flag: String, path: String, cause: String)
    /// The key is another certificate's.
    case keyMismatch(certificate: String, key: String)
    /// The certificate that is made where none is given.
    case cannotMakeCertificate(cause: String)
    /// Two checks of one endpoint have the same name, or a name that no path can hold.
    case badCheckName(String)

    public var description: String {
        switch self {
        case .badAddress(let flag, let value, let reason):
            "\(flag): \"\(value)\" is no address: \(reason); say :8081, 127.0.0.1:8081 or [::1]:8081, or 0 for off"
        case .cannotListen(let flag, let address, let cause):
            "\(flag): cannot listen on \(address): \(cause); is another process there, and is the address this host's?"
        case .certificateUnreadable(let flag, let path, let cause):
            "\(flag): cannot read a certificate chain in PEM from \(path): \(cause)"
        case .keyUnreadable(let flag, let path, let cause):
            "\(flag): cannot read an unencrypted private key in PEM from \(path): \(cause)"
        case .keyMismatch(let certificate, let key):
            "--metrics-cert-key: the private key \(key) does not belong to the certificate \(certificate)"
        case .cannotMakeCertificate(let cause):
            "cannot make a self-signed certificate for the metrics: \(cause); give one with --metrics-cert-path"
        case .badCheckName(let name):
            "the health check \"\(name)\" cannot be named so: letters, digits and - only, and each name once"
        }
    }
}

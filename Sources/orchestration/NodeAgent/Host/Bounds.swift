import NodeDocument

/// What is believed of others on this host and behind the tunnel, who may be anybody's by now.
extension JSONBounds {
    /// Of a small file or answer from whoever runs as Envoy's user.
    static let ofEnvoysUser = JSONBounds(bytes: 1 << 20, values: 10_000, textBytes: 1 << 20)

    /// Of an uplink's report; one of 20,000 bindings has some 160,000 values in 2 MB.
    static let ofUplink = JSONBounds(bytes: 4 << 20, values: 250_000)
}

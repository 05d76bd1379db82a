public import NetworkTypes

extension Forward {
    /// `BINDING TCP|UDP TUNNELPORT TARGET TARGETPORT`: half as long as the object, for documents that must be short.
    public var line: String { "\(binding) \(`protocol`.rawValue) \(tunnelPort) \(target) \(targetPort)" }

    /// - Throws: `InvalidValue` that names the part at fault.
    public init(line: String) throws(InvalidValue) {
        let parts = line.split(separator: " ", omittingEmptySubsequences: false)
        guard parts.count == 5, let transport = TransportProtocol(rawValue: String(parts[1])), let tunnelPort = UInt16(parts[2]),
            let targetPort = UInt16(parts[4])
        else {
            throw InvalidValue(expected: "forward", given: line, reason: "want BINDING TCP|UDP TUNNELPORT TARGET TARGETPORT")
        }
        self.init(
            binding: String(parts[0]), protocol: transport, tunnelPort: try Port(tunnelPort),
            target: try IPv4Address(parsing: String(parts[3])), targetPort: try Port(targetPort))
    }
}

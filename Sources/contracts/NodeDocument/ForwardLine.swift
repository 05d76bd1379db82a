public import NetworkTypes

extension Forward {
    /// `BINDING TCP|UDP TUNNELPORT TARGET TARGETPORT`, with the host for the target where there is one: half as long as the object, for documents that must be short.
    public var line: String {
        "\(binding) \(`protocol`.rawValue) \(tunnelPort) \(host?.description ?? "\(target)") \(targetPort)"
    }

    /// - Throws: `InvalidValue` that names the part at fault.
    public init(line: String) throws(InvalidValue) {
        let parts = line.split(separator: " ", omittingEmptySubsequences: false)
        guard parts.count == 5, let transport = TransportProtocol(rawValue: String(parts[1])), let tunnelPort = UInt16(parts[2]),
            let targetPort = UInt16(parts[4])
        else {
            throw InvalidValue(expected: "forward", given: line, reason: "want BINDING TCP|UDP TUNNELPORT TARGET TARGETPORT")
        }
        let (binding, port) = (String(parts[0]), try Port(targetPort))
        switch try HostAddress(parsing: String(parts[3])) {
        case .ip(.v4(let address)):
            self.init(
                binding: binding, protocol: transport, tunnelPort: try Port(tunnelPort), target: address, targetPort: port)
        case let host: self.init(binding: binding, protocol: transport, tunnelPort: try Port(tunnelPort), host: host, port: port)
        }
    }
}

import NetworkTypes

extension RelayEnvoy: Codable {
    private enum CodingKeys: String, CodingKey {
        case release, bridge, probing, bindings, maxConnections, drainSeconds
    }

    public func encode(to encoder: any Encoder) throws {
        var container = encoder.container(keyedBy: CodingKeys.self)
        try container.encode(release, forKey: .release)
        try container.encode(bridge, forKey: .bridge)
        try container.encode(probing, forKey: .probing)
        try container.encode(AlikeBindings.groups(of: bindings), forKey: .bindings)
        try container.encode(maxConnections, forKey: .maxConnections)
        try container.encode(drainSeconds, forKey: .drainSeconds)
    }

    /// Also reads what builds before 2026-12 wrote, which an agent that was just replaced finds on its disk.
    public init(from decoder: any Decoder) throws {
        let container = try decoder.container(keyedBy: CodingKeys.self)
        let release = try container.decode(EnvoyRelease.self, forKey: .release)
        let maxConnections = try container.decode(Int.self, forKey: .maxConnections)
        let drainSeconds = try container.decode(Int.self, forKey: .drainSeconds)
        guard let groups = try container.decodeIfPresent([AlikeBindings].self, forKey: .bindings) else {
            let former = try FormerRelayEnvoy(from: decoder)
            self.init(
                release: release, bridge: former.listeners.contains { $0.bindings.isEmpty } ? .readOnly : .off,
                probing: former.probes
                    ?? UplinkProbing(intervalMilliseconds: 1000, timeoutMilliseconds: 2000, unhealthyThreshold: 2),
                bindings: try former.bindings(), maxConnections: maxConnections, drainSeconds: drainSeconds)
            return
        }
        var bindings: [RelayBinding] = []
        do throws(InvalidValue) {
            for group in groups { bindings += try group.bindings() }
        } catch {
            throw DecodingError.dataCorruptedError(forKey: .bindings, in: container, debugDescription: "\(error)")
        }
        self.init(
            release: release, bridge: try container.decode(BridgeAccess.self, forKey: .bridge),
            probing: try container.decode(UplinkProbing.self, forKey: .probing), bindings: bindings,
            maxConnections: maxConnections, drainSeconds: drainSeconds)
    }
}

/// Bindings that differ in names and ports alone, a line each: `NAME LISTENPORT`, or `NAME LISTENPORT TUNNELPORT` where they differ. Of
/// thousands most are alike, and a line costs a fifth of an object, to write and to read.
private struct AlikeBindings: Codable {
    var transport: RelayTransport
    var lines: [String]

    private enum CodingKeys: String, CodingKey {
        case tcp, udp, lines
    }

    static func groups(of bindings: [RelayBinding]) -> [AlikeBindings] {
        var groups: [AlikeBindings] = []
        var places: [RelayTransport: Int] = [:]
        for binding in bindings {
            let line =
                binding.tunnelPort == binding.listenPort
                ? "\(binding.name) \(binding.listenPort)" : "\(binding.name) \(binding.listenPort) \(binding.tunnelPort)"
            if let place = places[binding.transport] {
                groups[place].lines.append(line)
            } else {
                places[binding.transport] = groups.count
                groups.append(AlikeBindings(transport: binding.transport, lines: [line]))
            }
        }
        return groups
    }

    private init(transport: RelayTransport, lines: [String]) {
        self.transport = transport
        self.lines = lines
    }

    /// - Throws: `InvalidValue` with the line that is none.
    func bindings() throws(InvalidValue) -> [RelayBinding] {
        var bindings: [RelayBinding] = []
        bindings.reserveCapacity(lines.count)
        for line in lines { bindings.append(try RelayBinding(line: line, transport)) }
        return bindings
    }

    func encode(to encoder: any Encoder) throws {
        var container = encoder.container(keyedBy: CodingKeys.self)
        switch transport {
        case .tcp(let options): try container.encode(options, forKey: .tcp)
        case .udp(let options): try container.encode(options, forKey: .udp)
        }
        try container.encode(lines, forKey: .lines)
    }

    init(from decoder: any Decoder) throws {
        let container = try decoder.container(keyedBy: CodingKeys.self)
        if let options = try container.decodeIfPresent(RelayUDP.self, forKey: .udp) {
            transport = .udp(options)
        } else {
            transport = .tcp(try container.decode(RelayTCP.self, forKey: .tcp))
        }
        lines = try container.decode([String].self, forKey: .lines)
    }
}

extension RelayBinding {
    fileprivate init(line: String, _ transport: RelayTransport) throws(InvalidValue) {
        let words = line.utf8.split(separator: UInt8(ascii: " "), omittingEmptySubsequences: false)
        guard (2...3).contains(words.count), let name = String(words[0]), let listen = Port(digits: words[1]),
            let tunnel = words.count == 2 ? listen : Port(digits: words[2])
        else {
            throw InvalidValue(expected: "binding", given: line, reason: "want NAME LISTENPORT, and TUNNELPORT where it differs")
        }
        self.init(name: name, listenPort: listen, tunnelPort: tunnel, transport: transport)
    }
}

extension Port {
    fileprivate init?(digits: Substring.UTF8View) {
        guard (1...5).contains(digits.count), digits.allSatisfy({ (0x30...0x39).contains($0) }) else { return nil }
        let number = digits.reduce(0) { $0 * 10 + Int($1 & 0xF) }
        do throws(InvalidValue) { try self.init(number) } catch { return nil }
    }
}

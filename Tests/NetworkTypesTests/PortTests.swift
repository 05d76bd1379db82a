import NetworkTypes
import Testing

@Suite struct PortTests {
    @Test(arguments: [1, 22, 443, 65535]) func takesPorts(number: Int) throws {
        #expect(try Port(number).description == "\(number)")
    }

    @Test(arguments: [0, -1, 65536, .max, .min]) func refusesWhatIsNone(number: Int) {
        let error = #expect(throws: InvalidValue.self) { try Port(number) }
        #expect(error?.description == "\"\(number)\" is not a valid port: must be between 1 and 65535")
    }

    /// Fixed by the specification (spec/tunnel.md); others rely on them.
    @Test func keepsTheFixedPorts() {
        #expect(Port.uplinkReadiness.number == 40500)
        #expect(Port.envoyBridge.number == 40600)
        #expect(Port.ssh.number == 22)
        #expect(Port.defaultTunnel.number == 51821)
    }

    @Test func ordersByNumber() throws {
        #expect(try Port(9) < Port(10))
        #expect(TransportProtocol.tcp < .udp)
    }
}

import NetworkTypes
import NodeDocument
import Testing

@testable import NodeAgent

@Suite struct WantedSettingsTests {
    @Test(
        arguments: [
            (100, "50", nil, "100"), (100, "200", nil, nil), (100, "100", "50", nil), (100, "100", "300", "300"),
            (40, "300", "128", "128"),
            (100, nil, nil, nil), (100, "x", nil, nil),
        ] as [(Int, String?, String?, String?)]) func settingsAreRaisedAndNotLowered(
            _ minimum: Int, _ current: String?, _ former: String?, _ value: String?
        )
    {
        #expect(WantedSettings.change(to: .atLeast(minimum), current: current, former: former) == value)
    }

    @Test(
        arguments: [
            ("32768\t60999", nil, "10240 65535"), ("1024\t65535", nil, nil), ("10240\t65535", "32768\t60999", nil),
            ("40000 50000", "5000\t60999", "5000 65535"), ("x", nil, nil), ("1", nil, nil), ("9 1", nil, nil), (nil, nil, nil),
        ] as [(String?, String?, String?)]) func rangesAreWidenedAndNotNarrowed(
            _ current: String?, _ former: String?, _ value: String?
        )
    {
        #expect(WantedSettings.change(to: .spanning(10_240...65_535), current: current, former: former) == value)
    }

    @Test(
        arguments: [
            ("", nil, "30000-30001,40000"), ("30000-30001,40000", "", nil), ("8080,30000-30001,40000", "8080", nil),
            ("8080", nil, "8080,30000-30001,40000"),
            // A binding is gone: its port is free again, what was the host's is not.
            ("8080,30000-30001,40000,50000", "8080", "8080,30000-30001,40000"),
            ("29999,30002-30003", nil, "29999-30003,40000"), ("1-x", nil, nil), ("2-1", nil, nil), ("1-2-3", nil, nil),
            ("8080", "1-9223372036854775807,5", nil), ("65536", nil, nil),
        ] as [(String?, String?, String?)]) func portsOfTheHostStayReserved(
            _ current: String?, _ former: String?, _ value: String?
        )
    {
        let wanted = WantedSettings.Value.including([30_000...30_001, 40_000...40_000])
        #expect(WantedSettings.change(to: wanted, current: current, former: former) == value)
    }

    @Test(
        arguments: [("2", nil, "1"), ("0", nil, "1"), ("1", nil, nil), ("1", "2", nil), (nil, nil, nil), ("x", nil, nil)]
            as [(String?, String?, String?)])
    func oneValueIsWanted(_ current: String?, _ former: String?, _ value: String?) {
        #expect(WantedSettings.change(to: .exactly(1), current: current, former: former) == value)
    }

    @Test func portsInTimeWaitAreUsedAgain() throws {
        #expect(WantedSettings(try sampleDocument().content).values["net.ipv4.tcp_tw_reuse"] == .exactly(1))
    }

    @Test func aListIsNoLongerThanTheKernelTakes() throws {
        let scattered = stride(from: 10_241, to: 65_535, by: 2).map { $0...$0 }
        let value = try #require(WantedSettings.change(to: .including(scattered), current: "", former: nil))
        #expect(value.utf8.count <= WantedSettings.longestList && value.utf8.count > WantedSettings.longestList * 8 / 10)
        #expect(value.hasPrefix("10241,10243,"))
        // And is found right the next time.
        #expect(WantedSettings.change(to: .including(scattered), current: value, former: "") == nil)
    }

    @Test func listenersAmongTheLocalPortsAreReserved() throws {
        var content = try sampleDocument().content
        content.wireGuard.listenPort = try Port(51821)
        for index in content.envoy.bindings.indices { content.envoy.bindings[index].listenPort = try Port(80) }
        content.envoy.bindings[0].listenPort = try Port(30_000)
        let settings = WantedSettings(content)
        #expect(settings.values["net.ipv4.ip_local_reserved_ports"] == .including([30_000...30_000, 51_821...51_821]))
        #expect(settings.values["net.ipv4.ip_local_port_range"] == .spanning(10_240...65_535))
    }
}

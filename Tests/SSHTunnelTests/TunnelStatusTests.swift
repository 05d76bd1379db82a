import Glibc
import Syscalls
import TestFiles
import Testing

@testable import SSHTunnel

@Suite struct TunnelStatusTests {
    /// A reason is told once, and again after the tunnel was up.
    @Test func newsAreToldOnce() {
        var status = TunnelStatus()
        #expect(status.problem != nil, "it is not up before it was")
        let begin = ContinuousClock.now
        #expect(status.down("a", now: begin) == (true, false))
        #expect(status.down("a", now: begin + .seconds(1)) == (false, false))
        #expect(status.down("b", now: begin + .seconds(2)) == (true, false))
        status.up()
        #expect(status.problem == nil && status.downSince == nil)
        #expect(status.down("b", now: begin + .seconds(9)) == (true, true))
        #expect(status.downSince == begin + .seconds(9) && status.problem == "b")
        // It has been down since then, whatever the reasons are.
        _ = status.down("c", now: begin + .seconds(12))
        #expect(status.downSince == begin + .seconds(9))
    }

    @Test func whoWantsToHearIsTold() throws {
        let folder = try TemporaryFolder()
        let listener = try Descriptor.socket(AF_UNIX, isDatagram: true)
        try listener.bind(to: SocketAddress(unix: folder("notify")))
        #expect(ServiceNotifier(environment: [:]) == nil)
        let notifier = try #require(ServiceNotifier(environment: ["NOTIFY_SOCKET": folder("notify")]))
        notifier.tell("READY=1\nSTATUS=down\nMAINPID=1")
        var bytes = [UInt8](repeating: 0, count: 100)
        let count = try #require(try listener.receive(into: &bytes))
        #expect(String(decoding: bytes[..<count], as: UTF8.self) == "READY=1\nSTATUS=down", "a reason adds no lines")
        // Nobody there: nothing happens.
        try #require(ServiceNotifier(environment: ["NOTIFY_SOCKET": "@tidegate-nobody"])).tell("READY=1")
    }
}

import Fixtures
import Foundation
import NetworkTypes
import NodeDocument
import TestNetwork
import TestPrograms
import Testing

@testable import NodeAgent

/// What the agent says of Envoy is what the real Envoy did.
@Suite(.serialized) struct EnvoyApplyTests {
    let host: EnvoyHostFixture

    init() throws { host = try EnvoyHostFixture() }

    private func states(_ report: AgentReport) -> [String: ListenerReport.State] {
        Dictionary(report.listeners.map { ($0.name, $0.state) }) { first, _ in first }
    }

    /// Ports that something listens on inside, by the kernel's word.
    private func listening() throws -> Set<Int> {
        let text = try host.namespace.execute("ss", "-Hlntu")
        return Set(
            text.split(separator: "\n").compactMap {
                $0.split(separator: " ").dropFirst(4).first?.split(separator: ":").last.flatMap { Int($0) }
            })
    }

    private func open(_ ports: Set<Int>) throws -> Bool { try ports.isSubset(of: listening()) }

    @Test func bindingsComeAndGoWithoutARestart() throws {
        let first = try host.apply(try host.document(epoch: 1, [tcp("a", 8001), udp("b", 8002)]))
        #expect(first.outcome == .applied, "\(first.problems)")
        #expect(states(first) == ["bridge": .active, "tcp-8001": .active, "udp-8002": .active])
        #expect(try open([8001, 8002, 40600]))
        let pid = host.envoyPID
        let again = try host.apply(try host.document(epoch: 1, [tcp("a", 8001), udp("b", 8002)]))
        #expect(again.changes == [] && again.drift == [])
        let second = try host.apply(try host.document(epoch: 2, [tcp("a", 8001), tcp("c", 8003)]))
        #expect(states(second) == ["bridge": .active, "tcp-8001": .active, "tcp-8003": .active])
        #expect(try open([8001, 8003]))
        #expect(host.envoyPID == pid)
        #expect(try namesInFolder(host.paths.envoyFiles + "/eds") == [], "the files of what is gone are gone")
        #expect(try statusOf(host.paths.staging) == nil)
    }

    @Test func envoyThatDiedOrWasChangedIsPutRight() throws {
        let document = try host.document(epoch: 1, [tcp("a", 8001)])
        _ = try host.apply(document)
        host.stopEnvoy()
        let report = try host.apply(document)
        #expect(report.drift == ["Envoy started"])
        #expect(states(report)["tcp-8001"] == .active)
        try replaceFile(host.paths.envoyFiles + "/lds.pb", Array("{}".utf8), .publicFile)
        let repaired = try host.apply(document)
        #expect(repaired.drift.contains("Envoy's listeners written"))
        #expect(states(repaired)["tcp-8001"] == .active)
        #expect(try open([8001]))
    }

    @Test func wrongListenersAreFoundAmongManyAndTheOthersServed() throws {
        // As no API takes it.
        let wrong = try (1...9).map { number in
            [3, 8].contains(number)
                ? try through("n\(number)", 8000 + number, "a*.example") : try tcp("n\(number)", 8000 + number)
        }
        let document = try host.document(epoch: 1, wrong)
        let report = try host.apply(document)
        #expect(report.outcome == .applied, "\(report.problems)")
        #expect(report.listeners.filter { $0.state == .rejected }.map(\.name) == ["tcp-8003", "tcp-8008"])
        #expect(report.listeners.first { $0.name == "tcp-8003" }?.message?.contains("wildcard") == true, "\(report.listeners)")
        #expect(report.listeners.first { $0.name == "tcp-8008" }?.message?.contains("wildcard") == true)
        #expect(try open([8001, 8002, 8004, 8005, 8006, 8007, 8009]))
        #expect(try host.apply(document).changes == [])
    }

    /// TLS that passes through, for one hostname.
    private func through(_ name: String, _ port: Int, _ hostname: String) throws -> RelayBinding {
        var binding = try tcp(name, port)
        binding.tls = RelayTLS(mode: .passthrough, hostnames: [hostname])
        return binding
    }

    @Test func aWrongPartOfASharedListenerCostsOnlyItsBinding() throws {
        let document = try host.document(
            epoch: 1,
            [through("a", 8001, "a.example"), through("b", 8001, "b*.example"), through("c", 8001, "c.example"), tcp("d", 8002)])
        let report = try host.apply(document)
        #expect(states(report) == ["bridge": .active, "tcp-8001": .active, "tcp-8002": .active])
        #expect(report.refusedBindings?.keys.sorted() == ["b"])
        #expect(try open([8001, 8002]))
        #expect(try host.apply(document).changes == [])
    }

    /// Validation does not bind: only the running Envoy can tell.
    @Test func listenerThatCannotBindCostsOnlyItself() throws {
        _ = try host.apply(try host.document(epoch: 1, [tcp("a", 8001)]))
        // Of Envoy's own user, who counts as Envoy.
        let squatter = try start(["socat", "TCP6-LISTEN:8002,fork", "SYSTEM:true"])
        defer { kill(squatter.processIdentifier, SIGKILL) }
        let deadline = ContinuousClock.now + .seconds(10)
        while try !open([8002]), ContinuousClock.now < deadline { usleep(20_000) }
        let report = try host.apply(try host.document(epoch: 2, [tcp("a", 8001), tcp("b", 8002), tcp("c", 8003)]))
        #expect(report.outcome == .applied, "\(report.problems)")
        #expect(states(report) == ["bridge": .active, "tcp-8001": .active, "tcp-8002": .rejected, "tcp-8003": .active])
        #expect(report.listeners.first { $0.name == "tcp-8002" }?.message?.contains("cannot bind") == true, "\(report.listeners)")
        #expect(try open([8001, 8003]))
    }

    @Test func aBrokenKeyCostsOnlyItsBinding() throws {
        _ = try host.apply(try host.document(epoch: 1, [tcp("a", 8001)]))
        var broken = try tcp("b", 8002)
        broken.tls = RelayTLS(mode: .offload, material: TLSMaterial(certificateChain: "no\n", privateKey: "no\n"))
        let document = try host.document(epoch: 2, [tcp("a", 8001), broken, tcp("c", 8003)])
        let report = try host.apply(document)
        #expect(report.outcome == .applied, "\(report.problems)")
        #expect(states(report) == ["bridge": .active, "tcp-8001": .active, "tcp-8002": .rejected, "tcp-8003": .active])
        #expect(report.refusedBindings?.keys.sorted() == ["b"])
        #expect(report.refusedBindings?["b"]?.contains("certificate") == true, "\(report.refusedBindings ?? [:])")
        #expect(try open([8001, 8003]))
        #expect(try !open([8002]))
        let again = try host.apply(document)
        #expect(again.changes == [] && again.refusedBindings == report.refusedBindings)
        let repaired = try host.apply(try host.document(epoch: 3, [tcp("a", 8001), tcp("b", 8002), tcp("c", 8003)]))
        #expect(repaired.refusedBindings == nil)
        #expect(try open([8001, 8002, 8003]))
    }

    @Test func portsOfOthersAreNamedSharedOnesToo() throws {
        let nobody = ["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups"]
        let squatters = [
            try start(nobody + ["socat", "TCP-LISTEN:8001,fork,reuseport", "SYSTEM:true"]),
            try start(nobody + ["socat", "TCP-LISTEN:8002,fork,bind=127.0.0.1", "SYSTEM:true"]),
            try start(nobody + ["socat", "UDP-RECVFROM:8003,fork,bind=127.0.0.53", "SYSTEM:true"]),
        ]
        defer { for squatter in squatters { kill(squatter.processIdentifier, SIGKILL) } }
        let deadline = ContinuousClock.now + .seconds(10)
        while try !open([8001, 8002, 8003]), ContinuousClock.now < deadline { usleep(20_000) }
        let document = try host.document(epoch: 1, [tcp("a", 8001), tcp("b", 8002), udp("c", 8003), tcp("d", 8004)])
        let report = try host.apply(document)
        #expect(
            states(report) == [
                "bridge": .active, "tcp-8001": .portInUse, "tcp-8002": .portInUse, "udp-8003": .portInUse, "tcp-8004": .active,
            ])
        #expect(
            report.listeners.first { $0.name == "tcp-8001" }?.message?.contains("socat (pid \(squatters[0].processIdentifier))")
                == true)
        for squatter in squatters {
            kill(squatter.processIdentifier, SIGKILL)
            squatter.waitUntilExit()
        }
        let after = try host.apply(document)
        #expect(after.listeners.allSatisfy { $0.state == .active }, "\(after.listeners)")
        #expect(after.drift == [])
    }

    private func start(_ command: [String]) throws -> RunningProgram {
        try RunningProgram(["ip", "netns", "exec", host.namespace.name] + command)
    }
}

import NIOPosix
import Testing

@testable import HealthAndMetrics

@Suite struct HealthServerTests {
    @Test func theKubeletsProbesAreAnswered() async throws {
        try await serving { onListening in
            try HealthServer(
                address: freePort(), ready: [HealthCheck("informers") { "not synced" }], logger: quiet, onListening: onListening)
        } _: { port in
            let live = try await curl("http://127.0.0.1:\(port)/healthz")
            #expect(live.status == 200 && live.body == "ok")
            #expect(live.fields["content-type"] == "text/plain; charset=utf-8")
            #expect(live.fields["x-content-type-options"] == "nosniff")
            let verbose = try await curl("http://127.0.0.1:\(port)/healthz?verbose")
            #expect(verbose.body == "[+]ping ok\nhealthz check passed\n")
            let ready = try await curl("http://127.0.0.1:\(port)/readyz")
            #expect(ready.status == 500 && ready.body == "[-]informers failed: reason withheld\nreadyz check failed\n")
            let head = try await curl("http://127.0.0.1:\(port)/healthz", ["--head"])
            #expect(head.status == 200 && head.body.isEmpty && head.fields["content-length"] == "2")
            #expect(try await curl("http://127.0.0.1:\(port)/metrics").status == 404)
            let post = try await curl("http://127.0.0.1:\(port)/healthz", ["-X", "POST", "-d", "x=1"])
            #expect(post.status == 405 && post.fields["allow"] == "GET, HEAD")
        }
    }

    @Test func allAddressesMeansBothFamilies() async throws {
        try await serving { onListening in
            try HealthServer(address: ListenAddress(host: "", port: 0), ready: [], logger: quiet, onListening: onListening)
        } _: { port in
            for host in ["127.0.0.1", "[::1]"] {
                let ready = try await curl("http://\(host):\(port)/readyz")
                #expect(ready.body == "ok", "\(host)")
            }
        }
    }

    @Test func aPortInUseIsToldByTheNameOfItsFlag() async throws {
        try await serving { onListening in
            try HealthServer(address: freePort(), ready: [], logger: quiet, onListening: onListening)
        } _: { port in
            let second = try HealthServer(address: ListenAddress(host: "127.0.0.1", port: UInt16(port)), ready: [], logger: quiet)
            await #expect {
                try await second.run()
            } throws: { error in
                "\(error)".hasPrefix("--health-probe-bind-address: cannot listen on 127.0.0.1:\(port): ")
                    && "\(error)".contains("Address already in use")
            }
        }
    }

    @Test func anAddressOfAnotherHostIsTold() async throws {
        let server = try HealthServer(address: ListenAddress(host: "198.51.100.77", port: 0), ready: [], logger: quiet)
        await #expect {
            try await server.run()
        } throws: { error in
            if case .cannotListen(HealthServer.flag, "198.51.100.77:0", _)? = error as? ServingError { true } else { false }
        }
    }
}

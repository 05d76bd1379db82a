import Glibc
import LinkCarriers
import LinkProtocol
import LinkRelay
import LinkStreams
import LinkUplink
import Logging
import NIOCore
import NIOPosix
import NetworkTypes
import Sodium

/// One end of a link as a process, so that its CPU time and memory can be read from outside: `Tests/Benchmarks/suites/links` runs both.
///
///     link-bench relay LINKPORT ADDRESS PORT…           listens for links at 127.0.0.1, and for the ports at ADDRESS
///     link-bench uplink LINKPORT CONNECTIONS TARGET     leads each port to the same port of TARGET
///
/// The keys are no secrets.
@main
struct LinkBench {
    static func main() async throws {
        let arguments = Array(CommandLine.arguments.dropFirst())
        guard arguments.count >= 4, let linkPort = port(arguments[1]) else {
            print("usage: link-bench relay LINKPORT ADDRESS PORT… | uplink LINKPORT CONNECTIONS TARGET")
            exit(2)
        }
        let group = MultiThreadedEventLoopGroup(numberOfThreads: threads)
        var logger = Logger(label: "link-bench") { StreamLogHandler.standardError(label: $0) }
        logger.logLevel = .info
        switch arguments[0] {
        case "relay":
            let uplink = RelayUplink(pin: try key(2).pin, address: try IPv4Address(parsing: arguments[2]))
            let ports = Set(arguments[3...].compactMap(port))
            let relay = try LinkRelay(
                key: try key(1), service: RelayService(uplinks: [uplink], tcpPorts: ports, udpPorts: ports), build: "bench",
                instance: 1, group: group, logger: logger)
            _ = try await relay.listen(at: try SocketAddress(ipAddress: "127.0.0.1", port: Int(linkPort.number)))
            try await Task.sleep(for: .seconds(86_400))
        default:
            let target = try HostAddress(parsing: arguments[3])
            var configuration = LinkUplink.Configuration(
                key: try key(2), pin: try key(1).pin,
                carriers: [.tls(host: try HostAddress(parsing: "127.0.0.1"), port: linkPort, serverName: nil)])
            configuration.connections = Int(arguments[2]) ?? 1
            let uplink = try LinkUplink(configuration, group: group, logger: logger) { header in
                (try? Port(header.tunnelPort)).map { StreamTarget(host: target, port: $0) }
            }
            await uplink.run()
        }
    }

    private static var threads: Int { getenv("LINK_THREADS").flatMap { Int(String(cString: $0)) } ?? System.coreCount }

    private static func port(_ text: String) -> Port? { UInt16(text).flatMap { try? Port($0) } }

    private static func key(_ byte: UInt8) throws -> LinkPrivateKey {
        guard let key = LinkPrivateKey(secret: try SecretBytes(copying: Array(repeating: byte, count: LinkPrivateKey.size)))
        else {
            throw CancellationError()
        }
        return key
    }
}

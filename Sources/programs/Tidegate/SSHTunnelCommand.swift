#if Kubernetes
public import ArgumentParser
import Glibc
import Logging
public import NetworkTypes
import SSH
import SSHTunnel
import HealthAndMetrics
import ServiceLifecycle
import Sodium
import StructuredLogging
import Syscalls
import UnixSignals

struct SSHTunnelCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "ssh-tunnel",
        abstract: "Forwards connections through an SSH server, and keeps doing so.",
        discussion: """
            Connections to --local go to --remote, as the server sees it; with --reverse the server listens, and they come from \
            --remote to --local. The host key is checked before anything of a login is sent. Flags of interLink's ssh-tunnel work too, \
            with one dash; by the name ssh-tunnel this program is --reverse, as that one is.
            """)

    @Option(name: names("server", "addr"), help: "The SSH server: HOST or HOST:PORT.")
    var server: String

    @Option(name: names("user", "user"), help: "Who logs in.")
    var user: String

    @Option(name: names("identity", "keyfile"), help: "File of the private key.")
    var identity: String?

    @Option(help: "File of the key's passphrase; a line's end at its end is none of it.")
    var passphraseFile: String?

    @Option(help: "File of the user's password, where the server takes no key.")
    var passwordFile: String?

    @Option(name: names("local", "lsock"), help: "On this host: a unix socket's path, PORT of 127.0.0.1, or ADDRESS:PORT.")
    var local: String

    @Option(name: names("remote", "rport"), help: "At the server: PORT of its localhost, HOST:PORT, or a unix socket's path.")
    var remote: String

    @Flag(
        inversion: .prefixedNo, exclusivity: .chooseLast,
        help: "The server listens at --remote, a port, and connections go to --local, as with interLink's program.")
    var reverse = false

    @Option(
        name: names("known-hosts", "hostkeyfile"),
        help:
            "File of the server's host keys: known_hosts, a line of type and base64, or the key's bytes (default: ~/.ssh/known_hosts)."
    )
    var knownHosts: String?

    @Flag(help: "Take any host key. Whoever sits in between can then take the server's place.")
    var insecureSkipHostKeyVerification = false

    @Option(help: "Between two signs of life; a server that gives none for four of them is dialed anew.")
    var keepalive: GoDuration = .seconds(15)

    @Option(help: "Serve /healthz, and /readyz, which says why the tunnel is down, at this address, such as 127.0.0.1:8090.")
    var health: String?

    func run() async throws {
        let environment = readEnvironment()
        StructuredLogHandler.bootstrap(environment: environment)
        let logger = Logger(label: "ssh-tunnel")
        let tunnel = SSHTunnel(
            try settings(home: environment["HOME"], logger), notifier: ServiceNotifier(environment: environment), logger: logger)
        var services: [any Service] = [tunnel]
        if let health, let address = try ListenAddress.parse(health, flag: "--health") {
            let check = HealthCheck("tunnel") { tunnel.problem }
            services.append(try HealthServer(address: address, ready: [check], logger: logger))
        }
        let group = ServiceGroup(
            configuration: ServiceGroupConfiguration(
                services: services.map { .init(service: $0) }, gracefulShutdownSignals: [.sigterm, .sigint], logger: logger))
        try await group.run()
    }

    // MARK: what the flags say

    private func settings(home: String?, _ logger: Logger) throws -> SSHTunnel.Settings {
        let files = TunnelFiles(home: home)
        let (host, port) = try hostAndPort(server, "--server", defaultPort: .ssh)
        guard keepalive.nanoseconds >= 1_000_000_000 else { throw ValidationError("--keepalive: want a second or more") }
        let interval = Duration.nanoseconds(keepalive.nanoseconds)
        return SSHTunnel.Settings(
            host: host, port: port, credentials: try credentials(files, logger),
            hostKeys: insecureSkipHostKeyVerification
                ? .insecureAcceptAny : .knownHosts(try files.hostKeys(knownHosts, of: host, port)),
            direction: try direction(),
            timeouts: SSHTimeouts(connect: .seconds(30), idle: interval * 4, keepalive: interval))
    }

    private func direction() throws -> SSHTunnel.Direction {
        let (local, remote) = (try localPlace(), try remotePlace())
        guard reverse else { return .toServer(local, remote) }
        guard case .port(let host, let port) = remote else {
            throw ValidationError("--remote: with --reverse the server listens at a port: want PORT or HOST:PORT")
        }
        return .fromServer(host: host, port, local)
    }

    private func credentials(_ files: TunnelFiles, _ logger: Logger) throws -> SSHCredentials {
        guard identity != nil || passwordFile != nil else {
            throw ValidationError("want --identity FILE, or --password-file FILE where the server takes no key")
        }
        let passphrase = try passphraseFile.map { try files.line($0, "--passphrase-file") }
        do {
            let key = try identity.map { path in
                if try files.isOpenToOthers(path, "--identity") {
                    logger.warning("others of this host may read the private key", metadata: ["file": "\(path)"])
                }
                return try SSHPrivateKey(file: try files.secret(path, "--identity"), passphrase: passphrase)
            }
            return try SSHCredentials(
                user: user, privateKey: key, password: try passwordFile.map { try files.line($0, "--password-file") })
        } catch let problem as InvalidValue {
            throw ValidationError("\(problem.expected): \(problem.reason)")
        }
    }

    private func localPlace() throws -> LocalPlace {
        if local.hasPrefix("/") { return .socket(local) }
        if local.allSatisfy(\.isNumber), let number = Int(local), let port = try? Port(number) {
            return .port(.v4(IPv4Address(number: 0x7F00_0001)), port)
        }
        let (host, port) = try hostAndPort(local, "--local", defaultPort: nil)
        guard case .ip(let address) = host else {
            throw ValidationError(
                "--local: want the path of a unix socket, PORT, or an address and a port, not \(printable(local))")
        }
        return .port(address, port)
    }

    private func remotePlace() throws -> ForwardPlace {
        if remote.hasPrefix("/") { return .socket(remote) }
        // By that name, as interLink's program does: options of keys (permitopen) are compared as text.
        if remote.allSatisfy(\.isNumber), let number = Int(remote), let port = try? Port(number) {
            return .port(host: "localhost", port)
        }
        let (host, port) = try hostAndPort(remote, "--remote", defaultPort: nil)
        return .port(host: "\(host)", port)
    }

    private func hostAndPort(_ text: String, _ flag: String, defaultPort: Port?) throws -> (HostAddress, Port) {
        func refusal(_ reason: String) -> ValidationError { ValidationError("\(flag) \(printable(text)): \(reason)") }
        // Several colons without brackets are an address of IPv6.
        let colon =
            text.hasSuffix("]") || text.count(where: { $0 == ":" }) > 1 && !text.hasPrefix("[") ? nil : text.lastIndex(of: ":")
        let name = (colon.map { text[..<$0] } ?? text[...]).drop { $0 == "[" }.prefix { $0 != "]" }
        guard let host = HostAddress(String(name)) else { throw refusal("want a name or an address") }
        guard let colon else {
            guard let defaultPort else { throw refusal("want a port behind a colon") }
            return (host, defaultPort)
        }
        guard let number = Int(text[text.index(after: colon)...]), let port = try? Port(number) else {
            throw refusal("want a port from 1 to 65535")
        }
        return (host, port)
    }
}

extension GoDuration: ExpressibleByArgument {}

/// The better name, with two dashes, and that of interLink's program, with one or two.
private func names(_ name: String, _ former: String) -> NameSpecification {
    var all: [NameSpecification.Element] = [.customLong(name)]
    if former != name { all.append(.customLong(former)) }
    return NameSpecification(all + [.customLong(former, withSingleDash: true)])
}

/// Files that flags name; `~/` is the user's home, as quotes keep a shell from saying.
private struct TunnelFiles {
    let home: String?

    private static let longest = 1 << 20

    private func path(_ given: String) -> String {
        guard given.hasPrefix("~/"), let home else { return given }
        return home + given.dropFirst()
    }

    private func contents(_ given: String, _ flag: String) throws(ValidationError) -> [UInt8] {
        do throws(SystemFailure) {
            return try Descriptor.contents(of: path(given), limit: Self.longest)
        } catch {
            throw ValidationError("\(flag) \(printable(given)): \(error.reason)")
        }
    }

    func secret(_ given: String, _ flag: String) throws -> SecretBytes {
        var bytes = try contents(given, flag)
        return try SecretBytes(consuming: &bytes)
    }

    /// Without the line's end that editors add.
    func line(_ given: String, _ flag: String) throws -> SecretBytes {
        var bytes = try contents(given, flag)
        while let last = bytes.last, last == 0x0A || last == 0x0D { bytes.removeLast() }
        return try SecretBytes(consuming: &bytes)
    }

    func isOpenToOthers(_ given: String, _ flag: String) throws(ValidationError) -> Bool {
        do throws(SystemFailure) {
            return try fileStatus(at: path(given), followingLinks: true).map { $0.st_mode & 0o044 != 0 } ?? false
        } catch {
            throw ValidationError("\(flag) \(printable(given)): \(error.reason)")
        }
    }

    /// A line that begins with a key is the server's, whatever its name; and so is a file that is a key and nothing else.
    func hostKeys(_ given: String?, of host: HostAddress, _ port: Port) throws -> KnownHosts {
        let (name, flag) = (given ?? "~/.ssh/known_hosts", "--known-hosts")
        let bytes = try contents(name, flag)
        if let key = HostKey(blob: bytes) { return try KnownHosts(parsing: key.knownHostsLine(host: host, port: port)) }
        let lines = String(decoding: bytes, as: UTF8.self).split(separator: "\n", omittingEmptySubsequences: false)
        let text = lines.map { line in
            let words = line.split { $0 == " " || $0 == "\t" || $0 == "\r" }.prefix(2).joined(separator: " ")
            return HostKey(text: words).map { $0.knownHostsLine(host: host, port: port) } ?? String(line)
        }
        let known: KnownHosts
        do throws(InvalidValue) {
            known = try KnownHosts(parsing: text.joined(separator: "\n"))
        } catch {
            throw ValidationError("\(flag) \(printable(name)): \(error.reason)")
        }
        if known.isEmpty { throw ValidationError("\(flag) \(printable(name)): it holds no host key; make it by ssh-keyscan") }
        return known
    }
}
#endif

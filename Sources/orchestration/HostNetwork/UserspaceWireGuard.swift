import CLinuxHeaders
import Glibc
import NetlinkMessages
import NetworkTypes
import RouteNetlink
import Sodium
import Syscalls
import WireGuardNetlink

/// wireguard-go, over its socket.
struct UserspaceWireGuard: WireGuardControl {
    /// The kind of the links it makes.
    static let linkKind = "tun"

    let name: InterfaceName
    let interfaces: NetworkInterfaces
    let start: ((InterfaceName) throws -> Void)?

    /// How long it may take to start, or to end.
    private static let patience = Duration.seconds(5)
    private static let socketPatience = Duration.seconds(1)

    /// A tun link has room for 500, which 2,000 connections that close at once overrun; much more would make others wait.
    let queueLength: UInt32? = 2048

    private var socket: WireGuardGoSocket { WireGuardGoSocket(name: name) }

    func create() throws(HostNetworkError) {
        guard let start else { throw .noWireGuard(name) }
        do {
            try start(name)
        } catch let error as HostNetworkError {
            throw error
        } catch {
            throw .wireGuardGo(name, reason: "cannot be started: \(error)")
        }
        let deadline = ContinuousClock.now + Self.patience
        while true {
            do throws(HostNetworkError) {
                _ = try status()
                if try interfaces.link(name) != nil { return }
            } catch {
                guard ContinuousClock.now < deadline else {
                    throw .wireGuardGo(name, reason: "was started but does not answer within \(Self.patience): \(error)")
                }
            }
            guard ContinuousClock.now < deadline else {
                throw .wireGuardGo(name, reason: "was started but made no interface within \(Self.patience)")
            }
            pause()
        }
    }

    func status() throws(HostNetworkError) -> WireGuardDeviceStatus {
        var answer = try socket.ask(WireGuardSocketText.get)
        defer { zero(&answer) }
        try check(answer)
        do {
            return try WireGuardDeviceStatus(socketText: answer)
        } catch {
            throw .wireGuardGo(name, reason: "\(error)")
        }
    }

    func apply(_ update: WireGuardDeviceUpdate) throws(HostNetworkError) {
        var text = WireGuardSocketText.set(update)
        defer { zero(&text) }
        try check(try socket.ask(text))
        let mayHaveNewSockets = update.privateKey != nil || update.listenPort != nil
        if mayHaveNewSockets { widenSockets() }
    }

    /// Its UDP sockets come a moment after the link is up, and anew with another port. It carries traffic with narrow ones too.
    private func widenSockets() {
        let deadline = ContinuousClock.now + Self.socketPatience
        while ContinuousClock.now < deadline {
            do throws(HostNetworkError) {
                let port = try status().listenPort
                let sockets = try ListeningSockets.read().filter { $0.transport == .udp && $0.port.number == port }
                guard sockets.isEmpty else { return ReceiveBuffer.widen(sockets) }
            } catch {
                return
            }
            pause()
        }
    }

    /// wireguard-go ends by itself when its link goes.
    func afterRemoval() throws(HostNetworkError) {
        let deadline = ContinuousClock.now + Self.patience
        while socket.isAnswered {
            guard ContinuousClock.now < deadline else {
                throw .wireGuardGo(name, reason: "still runs \(Self.patience) after its interface was removed; end it by hand")
            }
            pause()
        }
        unlink(socket.path)
    }

    private func check(_ answer: [UInt8]) throws(HostNetworkError) {
        let code: Int32
        do throws(MalformedWireGuardText) {
            code = try WireGuardSocketText.errno(in: answer)
        } catch {
            throw .wireGuardGo(name, reason: "\(error)")
        }
        guard code == 0 else { throw .wireGuardGo(name, reason: "refused: \(errorText(code))") }
    }

    private func pause() { usleep(10_000) }
}

/// The socket that wireguard-go listens on in the file system, one per interface.
struct WireGuardGoSocket {
    let name: InterfaceName

    /// Where wireguard-go puts it (`socketDirectory` of its ipc/uapi_unix.go).
    var path: String { "/var/run/wireguard/\(name).sock" }

    /// An answer longer than this is none: 10,000 peers need some 4 MB.
    private static let answerLimit = 64 << 20
    private static let timeoutSeconds = 5

    /// Whether a wireguard-go listens there.
    var isAnswered: Bool { (try? connected()) != nil }

    /// One question, and its answer up to the empty line.
    func ask(_ question: [UInt8]) throws(HostNetworkError) -> [UInt8] {
        let connection = try connected()
        try attempting("write to \(path)") { () throws(SystemFailure) in try connection.sendAll(question) }
        var answer: [UInt8] = []
        var buffer = [UInt8](repeating: 0, count: 16384)
        defer { zero(&buffer) }
        while !WireGuardSocketText.isComplete(answer) {
            let count = try attempting("read from \(path)") { () throws(SystemFailure) in try connection.read(into: &buffer) }
            guard count > 0, answer.count + count <= Self.answerLimit else {
                zero(&answer)
                throw .wireGuardGo(name, reason: count == 0 ? "ended its answer early" : "answers without end")
            }
            answer += buffer.prefix(count)
        }
        return answer
    }

    private func connected() throws(HostNetworkError) -> Descriptor {
        let connection = try attempting("make a socket") { () throws(SystemFailure) in try Descriptor.socket(AF_UNIX) }
        try attempting("connect to \(path)") { () throws(SystemFailure) in
            for option in [SO_RCVTIMEO, SO_SNDTIMEO] {
                try connection.setOption(SOL_SOCKET, option, timeval(tv_sec: Self.timeoutSeconds, tv_usec: 0))
            }
            try connection.connect(to: try SocketAddress(unix: path))
        }
        return connection
    }
}

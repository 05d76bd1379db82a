import Glibc
import Syscalls

/// Tells systemd how this service is (sd_notify(3)): lines of `NAME=value` to the socket that NOTIFY_SOCKET names.
public struct ServiceNotifier: Sendable {
    private let address: SocketAddress

    /// Nil where nobody wants to hear.
    public init?(environment: [String: String]) {
        guard let name = environment["NOTIFY_SOCKET"], name.utf8.count > 1,
            // A name that begins with @ is of the abstract namespace.
            let address = name.hasPrefix("@")
                ? try? SocketAddress(abstract: String(name.dropFirst())) : try? SocketAddress(unix: name)
        else { return nil }
        self.address = address
    }

    /// What cannot be told is left untold.
    func tell(_ lines: String) {
        // A line's end in a reason would be another line.
        let text = lines.split(separator: "\n").prefix(2).joined(separator: "\n")
        guard let socket = try? Descriptor.socket(AF_UNIX, isDatagram: true, isWaiting: false) else { return }
        try? socket.connect(to: address)
        _ = try? socket.send(Array(text.utf8))
    }
}

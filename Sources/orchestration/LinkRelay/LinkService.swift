import FileWatching
import Glibc
import LinkCarriers
import LinkStreams
public import Logging
import NIOCore
import NIOPosix
public import NetworkTypes
public import Sodium
import Synchronization
import Syscalls

/// The link program: serves what `link.json` of a folder says, follows its changes, and tells in `links.json` of another what it has.
public struct LinkService: Sendable {
    private let file: String
    /// What uplinks are handed; there may be none.
    private let handed: String
    private let status: String
    private let build: String
    private let key: LinkPrivateKey
    /// Where links come in.
    private let door: IPv4Address
    private let logger: Logger

    /// What the agent writes, and what it reads (`LinkServiceFile` and `LinkStatusFile` of NodeDocument).
    private static let fileName = "link.json"
    private static let handedName = "handed"
    /// Bytes (`HandedDocument.longest`).
    private static let longestHanded = 24 << 20
    private static let statusName = "links.json"
    /// 127.88.0.1, where Envoy hands links on (`LinkedUplink.door`).
    public static let door = IPv4Address(number: 0x7F58_0001)
    /// After being told to stop, for the connections that are open.
    private static let drain = Duration.seconds(30)
    /// Between two statuses, and two looks at the file where nothing tells of a change.
    private static let interval = Duration.seconds(1)

    /// - Parameters:
    ///   - folder: where the agent writes.
    ///   - statusFolder: this program's own.
    ///   - build: of this program, which the uplinks are told.
    public init(
        folder: String, statusFolder: String, build: String, key: LinkPrivateKey, door: IPv4Address = door, logger: Logger
    ) {
        file = "\(folder)/\(Self.fileName)"
        handed = "\(folder)/\(Self.handedName)"
        status = "\(statusFolder)/\(Self.statusName)"
        self.build = build
        self.key = key
        self.door = door
        self.logger = logger
    }

    /// What makes it end.
    public enum Ending: Sendable {
        /// Nobody follows.
        case stopped
        /// Another process has the doors.
        case replaced
    }

    /// Until `ended` returns, and then until the last connection ends or half a minute is over. It is asked a second time after `replaced`.
    /// - Throws: where there is nothing to begin with: a file that cannot be read, doors that cannot be opened.
    public func run(until ended: @escaping @Sendable () async -> Ending) async throws {
        let group = MultiThreadedEventLoopGroup(numberOfThreads: System.coreCount)
        let first = try read()
        var timing = LinkTiming()
        timing.drain = .seconds(Self.drain.components.seconds)
        let relay = try LinkRelay(
            key: key, service: first.service, build: build, instance: .random(in: .min ... .max), timing: timing, group: group,
            logger: logger)
        try await relay.setDoors(try first.doors(at: door))
        try await relay.keepSocket(at: first.socket)
        logger.info("links are taken", metadata: ["pin": "\(key.pin)", "uplinks": "\(first.uplinks.count)"])
        let served = Served(first)
        let ending = await withTaskGroup(of: Void.self) { tasks in
            tasks.addTask { await follow(relay, served) }
            tasks.addTask { await tell(relay, served) }
            let ending = await ended()
            tasks.cancelAll()
            return ending
        }
        switch ending {
        case .stopped: relay.drain()
        case .replaced: relay.leave()
        }
        logger.info("draining", metadata: ["links": "\(relay.openLinks)"])
        await withTaskGroup(of: Void.self) { tasks in
            if ending == .replaced {
                tasks.addTask { if await ended() == .stopped, !Task.isCancelled { relay.drain() } }
            }
            let end = ContinuousClock.now + Self.drain
            while relay.openLinks > 0, .now < end { try? await Task.sleep(for: .milliseconds(50)) }
            tasks.cancelAll()
        }
    }

    /// What is in force.
    private final class Served: Sendable {
        let file: Mutex<LinkFile>
        init(_ file: LinkFile) { self.file = Mutex(file) }
    }

    // MARK: the file

    /// - Throws: `LinkServiceError` that says what is wrong with it.
    private func read() throws(LinkServiceError) -> LinkFile {
        let bytes: [UInt8]
        do throws(SystemFailure) {
            bytes = try Descriptor.open(file, O_RDONLY).readAll(limit: LinkFile.longest)
        } catch {
            throw LinkServiceError(description: "\(file) cannot be read: \(error)")
        }
        do throws(LinkServiceError) {
            return try LinkFile(bytes)
        } catch {
            throw LinkServiceError(description: "\(file): \(error)")
        }
    }

    private func follow(_ relay: LinkRelay, _ served: Served) async {
        let (looks, look) = AsyncStream.makeStream(of: Void.self, bufferingPolicy: .bufferingNewest(1))
        await withTaskGroup(of: Void.self) { tasks in
            tasks.addTask {
                do {
                    for try await _ in FileWatch(paths: [file, handed], quiet: .milliseconds(10)) { look.yield() }
                } catch {
                    logger.warning("changes are seen a second late", metadata: ["cause": "\(error)"])
                }
            }
            // What was missed is seen all the same.
            tasks.addTask {
                while !Task.isCancelled {
                    try? await Task.sleep(for: Self.interval)
                    look.yield()
                }
                look.finish()
            }
            // The first look is at what was there before anything was watched.
            var known: FileStamp?
            var knownHanded: FileStamp?
            for await _ in looks {
                let handedMark = (try? fileStatus(at: handed)).map(FileStamp.init)
                if handedMark != knownHanded {
                    knownHanded = handedMark
                    relay.hand(try? Descriptor.contents(of: handed, limit: Self.longestHanded))
                }
                await keepSocket(relay, served)
                let mark = (try? fileStatus(at: file)).map(FileStamp.init)
                guard mark != known else { continue }
                known = mark
                await take(relay, served)
            }
            tasks.cancelAll()
        }
    }

    /// One that somebody removed is made anew, and one that another process of this program left when it ended.
    private func keepSocket(_ relay: LinkRelay, _ served: Served) async {
        do {
            try await relay.keepSocket(at: served.file.withLock(\.socket))
        } catch {
            logger.error("no links come by sshd", metadata: ["cause": "\(error)"])
        }
    }

    /// A broken file leaves what is in force.
    private func take(_ relay: LinkRelay, _ served: Served) async {
        do {
            let former = served.file.withLock(\.self)
            let new = try read()
            guard new != former else { return }
            if new.ways != former.ways { try await relay.setDoors(try new.doors(at: door)) }
            try await relay.keepSocket(at: new.socket)
            relay.update(new.service)
            served.file.withLock { $0 = new }
            logger.info(
                "took up a change",
                metadata: [
                    "uplinks": "\(new.uplinks.count)", "tcpPorts": "\(new.tcpPorts.count)", "udpPorts": "\(new.udpPorts.count)",
                ])
        } catch {
            logger.error("what was in force stays", metadata: ["cause": "\(error)"])
        }
    }

    // MARK: the status

    private func tell(_ relay: LinkRelay, _ served: Served) async {
        var written: String?
        while !Task.isCancelled {
            let ordinals = Dictionary(
                served.file.withLock(\.uplinks).map { ($0.address, $0.ordinal) }, uniquingKeysWith: { first, _ in first })
            let uplinks = await relay.status.compactMap { status in
                ordinals[status.uplink.address].map { status.json(ordinal: $0) }
            }
            let told = #"{"build":\#(JSONText.quoted(build)),"uplinks":[\#(uplinks.joined(separator: ","))]}"# + "\n"
            if Task.isCancelled { return }
            do {
                if told == written {
                    // Its time says that this process lives.
                    if utimensat(AT_FDCWD, status, nil, AT_SYMLINK_NOFOLLOW) != 0 { written = nil }
                } else {
                    try replaceFile(status, with: Array(told.utf8), mode: 0o600, through: "\(status).\(getpid())")
                    written = told
                }
            } catch {
                logger.error("the status cannot be told", metadata: ["cause": "\(error)"])
            }
            try? await Task.sleep(for: Self.interval)
        }
    }
}

extension LinkFile {
    /// What the doors hang on.
    fileprivate var ways: [String] { [takesTLS ? "tls" : "", takesWebSockets ? path : ""] }

    fileprivate var service: RelayService {
        RelayService(
            uplinks: uplinks.map { RelayUplink(pin: $0.pin, address: $0.address) }, tcpPorts: tcpPorts, udpPorts: udpPorts)
    }

    fileprivate func doors(at address: IPv4Address) throws -> [(address: NIOCore.SocketAddress, door: LinkRelay.Door)] {
        func place(_ port: Port) throws -> NIOCore.SocketAddress {
            try NIOCore.SocketAddress(ipAddress: "\(address)", port: Int(port.number))
        }
        var doors: [(address: NIOCore.SocketAddress, door: LinkRelay.Door)] = []
        if takesTLS { doors.append((try place(.linkDoor), .tls)) }
        if takesWebSockets { doors.append((try place(.webSocketDoor), .webSocket(path: path))) }
        return doors
    }
}

extension RelayStatus {
    /// A `LinkStatusFile.Uplink` of NodeDocument.
    fileprivate func json(ordinal: Int) -> String {
        // Thousands of ports may be refused for one reason.
        let refused = refusedPorts.prefix(16).map(JSONText.quoted).joined(separator: ",")
        let links = links.map(\.json).joined(separator: ",")
        return #"{"address":"\#(uplink.address)","isReady":\#(isReady),"links":[\#(links)],"ordinal":\#(ordinal),"#
            + #""refusedPorts":[\#(refused)]}"#
    }
}

extension RelayStatus.Link {
    /// A `LinkStatusFile.Link` of NodeDocument.
    fileprivate var json: String {
        let peer = source.map { #","peer":\#(JSONText.quoted($0))"# } ?? ""
        let roundTrip = roundTripMicroseconds.map { #","roundTripMicroseconds":\#($0)"# } ?? ""
        return #"{"build":\#(JSONText.quoted(build))\#(peer),"receivedBytes":\#(bytesIn)\#(roundTrip),"sentBytes":\#(bytesOut),"#
            + #""streams":\#(openStreams)}"#
    }
}

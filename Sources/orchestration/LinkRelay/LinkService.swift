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
    /// For the connections that are open, when another process has the doors, and when nobody follows: then whoever waits for this one's end
    /// may be its successor.
    private static let drain = (replaced: Duration.seconds(30), stopped: Duration.seconds(5))
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

    /// Until `ended` returns, and then until the last connection ends or their time is over. It is asked a second time after `replaced`.
    /// - Throws: where there is nothing to begin with: a file that cannot be read, doors that cannot be opened.
    public func run(until ended: @escaping @Sendable () async -> Ending) async throws {
        let group = MultiThreadedEventLoopGroup(numberOfThreads: System.coreCount)
        let first = try read()
        var timing = LinkTiming()
        timing.drain = .seconds(Self.drain.replaced.components.seconds)
        let relay = try LinkRelay(
            key: key, service: first.service, build: build, instance: .random(in: .min ... .max), timing: timing, group: group,
            logger: logger)
        try await relay.setDoors(try first.doors(at: door))
        let served = Served(first)
        await keepSocket(relay, served)
        logger.info("links are taken", metadata: ["pin": "\(key.pin)", "uplinks": "\(first.uplinks.count)"])
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
                // What uplinks are told may be the new process's key, which those with links to this one alone learn nowhere else.
                tasks.addTask { await followHanded(relay) }
            }
            let end = ContinuousClock.now + (ending == .replaced ? Self.drain.replaced : Self.drain.stopped)
            while relay.openLinks > 0, .now < end { try? await Task.sleep(for: .milliseconds(50)) }
            tasks.cancelAll()
        }
    }

    /// What is in force.
    private final class Served: Sendable {
        let file: Mutex<LinkFile>
        /// What was logged last of each kind, and is not again.
        let troubles = Mutex<[String: String]>([:])
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
                lookAtHanded(relay, &knownHanded)
                let mark = (try? fileStatus(at: file)).map(FileStamp.init)
                if mark != known, await take(relay, served) { known = mark }
                await keepSocket(relay, served)
            }
            tasks.cancelAll()
        }
    }

    private func followHanded(_ relay: LinkRelay) async {
        var known: FileStamp?
        while !Task.isCancelled {
            lookAtHanded(relay, &known)
            try? await Task.sleep(for: Self.interval)
        }
    }

    private func lookAtHanded(_ relay: LinkRelay, _ known: inout FileStamp?) {
        let mark = (try? fileStatus(at: handed)).map(FileStamp.init)
        guard mark != known else { return }
        known = mark
        relay.hand(try? Descriptor.contents(of: handed, limit: Self.longestHanded))
    }

    /// One that somebody removed is made anew, and one that another process of this program left when it ended.
    private func keepSocket(_ relay: LinkRelay, _ served: Served) async {
        do {
            try await relay.keepSocket(at: served.file.withLock(\.socket))
            tell("no links come by sshd", of: nil, served)
        } catch {
            tell("no links come by sshd", of: error, served)
        }
    }

    /// Each second the same is no news.
    private func tell(_ what: String, of error: (any Error)?, _ served: Served) {
        let cause = error.map { "\($0)" }
        let isNew = served.troubles.withLock { troubles in
            defer { troubles[what] = cause }
            return troubles[what] != cause
        }
        if isNew, let cause { logger.error("\(what)", metadata: ["cause": "\(cause)"]) }
    }

    /// A broken file leaves what is in force. Returns whether all of the file is: what is not is tried again.
    private func take(_ relay: LinkRelay, _ served: Served) async -> Bool {
        do {
            let former = served.file.withLock(\.self)
            let new = try read()
            guard new != former else {
                tell(Self.notInForce, of: nil, served)
                return true
            }
            // First who may link: a door that cannot be opened does not keep an uplink that was taken out.
            relay.update(new.service)
            if new.ways != former.ways { try await relay.setDoors(try new.doors(at: door)) }
            served.file.withLock { $0 = new }
            logger.info(
                "took up a change",
                metadata: [
                    "uplinks": "\(new.uplinks.count)", "tcpPorts": "\(new.tcpPorts.count)", "udpPorts": "\(new.udpPorts.count)",
                ])
            tell(Self.notInForce, of: nil, served)
            return true
        } catch {
            tell(Self.notInForce, of: error, served)
            return false
        }
    }

    private static let notInForce = "not all of the change is in force; it is tried again"

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
            uplinks: uplinks.map { RelayUplink(pin: $0.pin, address: $0.address) }, tcpPorts: tcpPorts, udpPorts: udpPorts,
            udpRests: udpSessionSeconds.mapValues { .seconds(Int64($0)) })
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

import Glibc
import Syscalls

/// Owns an inotify descriptor whose watches stand for a `WatchPlan` (inotify(7)).
final class Inotify {
    private let source: Descriptor
    var descriptor: Int32 { source.number }
    private var interests: [Int32: [WatchPlan.Interest]] = [:]

    /// Names coming and going, and the folder itself going.
    private static let structure = UInt32(IN_CREATE | IN_DELETE | IN_MOVED_FROM | IN_MOVED_TO | IN_DELETE_SELF | IN_MOVE_SELF)
    /// A file written to the end, or its permissions changed. Not IN_MODIFY: a file half written is nothing to read.
    private static let content = UInt32(IN_CLOSE_WRITE | IN_ATTRIB)

    init() throws(FileWatchError) {
        do throws(SystemFailure) {
            source = try Descriptor("inotify_init1") { inotify_init1(Int32(IN_NONBLOCK | IN_CLOEXEC)) }
        } catch {
            throw FileWatchError(error)
        }
    }

    /// Watches what `plan` names, the upper folders first: one that goes before it is watched is then told of by its parent.
    func watch(_ plan: WatchPlan) throws(FileWatchError) {
        for folder in plan.order {
            guard let interest = plan.folders[folder] else { continue }
            let hasContent = interest.isWhole || !interest.files.isEmpty
            let mask = Self.structure | (hasContent ? Self.content : 0) | UInt32(IN_ONLYDIR) | UInt32(IN_MASK_ADD)
            do throws(SystemFailure) {
                let watch = try calling("inotify_add_watch") { inotify_add_watch(descriptor, folder, mask) }
                // Two names of one folder share a watch.
                interests[watch, default: []].append(interest)
            } catch {
                if error.isMissing { continue }
                // A folder on the way that may be passed through but not read is taken as one that stays.
                if error.code == EACCES, !interest.isWhole, interest.files.isEmpty { continue }
                throw FileWatchError(error, path: folder)
            }
        }
    }

    /// Takes all events that wait.
    /// - Returns: whether one of them concerns what is watched.
    func drain() throws(FileWatchError) -> Bool {
        var isRelevant = false
        // Room for many events, and for the longest one (a header of 16 bytes and NAME_MAX + 1).
        let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: 16384, alignment: 8)
        defer { buffer.deallocate() }
        do throws(SystemFailure) {
            while case let count = try source.read(into: buffer), count > 0 {
                if concerns(UnsafeRawBufferPointer(rebasing: buffer[..<count])) { isRelevant = true }
            }
        } catch {
            if error.code != EAGAIN { throw FileWatchError(error) }
        }
        return isRelevant
    }

    private func concerns(_ events: UnsafeRawBufferPointer) -> Bool {
        let headerSize = MemoryLayout<inotify_event>.size
        var offset = 0
        var isRelevant = false
        while offset + headerSize <= events.count {
            let event = events.loadUnaligned(fromByteOffset: offset, as: inotify_event.self)
            let end = offset + headerSize + Int(event.len)
            guard end <= events.count else { break }
            let name = String(
                decoding: events[offset + headerSize..<end].prefix { $0 != 0 }, as: UTF8.self)
            if concerns(event, name: name) { isRelevant = true }
            offset = end
        }
        return isRelevant
    }

    private func concerns(_ event: inotify_event, name: String) -> Bool {
        // Events were lost, and nobody knows which.
        if event.mask & UInt32(IN_Q_OVERFLOW) != 0 { return true }
        return interests[event.wd, default: []].contains { interest in
            if interest.isWhole || name.isEmpty { return true }
            let isContent = event.mask & Self.content != 0
            return isContent ? interest.files.contains(name) : interest.names.contains(name)
        }
    }
}

import CLibssh2
import Glibc
import Syscalls

/// Wakes a thread out of poll(2) (eventfd(2)).
final class WakeSignal: Sendable {
    private let descriptor: Descriptor
    var number: Int32 { descriptor.number }

    init() throws(SystemFailure) {
        descriptor = try Descriptor("eventfd") { eventfd(0, Int32(EFD_CLOEXEC) | Int32(EFD_NONBLOCK)) }
    }

    func raise() {
        var one: UInt64 = 1
        _ = write(number, &one, 8)
    }

    func clear() {
        var count: UInt64 = 0
        _ = read(number, &count, 8)
    }
}

/// Starts `body` on a thread of its own; it may block there without taking a thread from Swift's pool.
/// - Parameter name: at most 15 characters, for `ps -L` and debuggers.
func startThread(named name: StaticString, _ body: @escaping @Sendable () -> Void) throws(SystemFailure) {
    final class Start {
        let name: StaticString
        let body: @Sendable () -> Void
        init(_ name: StaticString, _ body: @escaping @Sendable () -> Void) {
            self.name = name
            self.body = body
        }
    }
    var attributes = pthread_attr_t()
    pthread_attr_init(&attributes)
    defer { pthread_attr_destroy(&attributes) }
    pthread_attr_setdetachstate(&attributes, Int32(PTHREAD_CREATE_DETACHED))
    // Address space only; libssh2 keeps packets of 35,000 bytes on the heap, and glibc's resolver takes some 70 KiB.
    pthread_attr_setstacksize(&attributes, 1 << 20)
    let start = Unmanaged.passRetained(Start(name, body))
    var thread = pthread_t()
    let code = pthread_create(
        &thread, &attributes,
        { argument in
            guard let argument else { return nil }
            let start = Unmanaged<Start>.fromOpaque(argument).takeRetainedValue()
            tidegate_name_thread(start.name.description)
            start.body()
            return nil
        }, start.toOpaque())
    if code != 0 {
        start.release()
        throw SystemFailure("pthread_create", code)
    }
}

import Glibc

/// Bytes between a source and the channel, wiped at the end: they may be secret.
struct InputBuffer: ~Copyable {
    /// All of it, to fill anew.
    let whole: UnsafeMutableRawBufferPointer
    private var start = 0
    private var end = 0

    init(count: Int) { whole = .allocate(byteCount: count, alignment: 16) }

    deinit {
        if let start = whole.baseAddress { explicit_bzero(start, whole.count) }
        whole.deallocate()
    }

    var isEmpty: Bool { start == end }
    var rest: UnsafeRawBufferPointer { UnsafeRawBufferPointer(rebasing: whole[start..<end]) }

    mutating func filled(_ count: Int) {
        start = 0
        end = count
    }

    mutating func drop(_ count: Int) { start += count }
}

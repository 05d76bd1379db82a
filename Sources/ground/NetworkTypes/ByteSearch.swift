import CLinuxHeaders

// What hosts and Secrets hold may be made to cost as much as it can: both take time in proportion to the text, whatever stands in it, and
// no memory.
extension Collection<UInt8> where Index == Int {
    /// Where `words` first stand; nil where they do not, or are empty. By memmem(3): the standard library's `firstRange(of:)` takes a
    /// third of a second for each MiB.
    public func range(of words: some Collection<UInt8>) -> Range<Int>? {
        let wanted = Array(words)
        guard !wanted.isEmpty else { return nil }
        let offset =
            withContiguousStorageIfAvailable { place(of: wanted, in: $0) }
            ?? Array(self).withUnsafeBufferPointer {
                place(of: wanted, in: $0)
            }
        return offset.map { startIndex + $0..<startIndex + $0 + wanted.count }
    }

    private func place(of wanted: [UInt8], in text: UnsafeBufferPointer<UInt8>) -> Int? {
        guard let start = UnsafeRawPointer(text.baseAddress), let found = memmem(start, text.count, wanted, wanted.count) else {
            return nil
        }
        return start.distance(to: found)
    }
}

extension Collection<UInt8> {
    /// Calls `body` with each line that is not empty; LF and CR end lines.
    @inlinable
    public func forEachLine<Failure: Error>(_ body: (SubSequence) throws(Failure) -> Void) throws(Failure) {
        var rest = self[...]
        while !rest.isEmpty {
            let end = rest.firstIndex { $0 == 0x0A || $0 == 0x0D } ?? rest.endIndex
            if end != rest.startIndex { try body(rest[..<end]) }
            rest = rest[end...].dropFirst()
        }
    }
}

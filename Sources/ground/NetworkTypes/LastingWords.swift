/// What a program said without what differs each time it says it: timestamps, process and thread ids, addresses of its memory, lines of
/// its source. Equal faults then give equal text, and are no news when they come again.
public func lastingWords(of text: String) -> String {
    var words: [Substring] = []
    for word in withoutChangingBrackets(text).split(separator: " ") {
        if isTime(word) {
            // `Nov 28 18:08:24`, as syslog writes it.
            if words.count >= 2, months.contains(words[words.count - 2]), words[words.count - 1].allSatisfy(\.isNumber) {
                words.removeLast(2)
            }
            continue
        }
        if isDate(word) { continue }
        if let last = words.last, last.hasSuffix("pid"), word.first?.isNumber == true {
            words.append("N" + word.drop(while: \.isNumber))
        } else if let equals = word.range(of: "pid=") {
            words.append(word[..<equals.upperBound] + "N" + word[equals.upperBound...].drop(while: \.isNumber))
        } else if word.hasPrefix("0x"), word.count > 6 {
            words.append("0x…")
        } else {
            words.append(word)
        }
    }
    return words.joined(separator: " ")
}

private let months: Set<Substring> = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"]

/// Without `[2026-11-28 18:08:24.393]`, `[15110]`, `[source/server.cc:76]`, `[0x55e6]`, and without the id in `sshd[812]:`. An index such
/// as that of `filter_chains[1].filters` stays.
private func withoutChangingBrackets(_ text: String) -> String {
    var result = ""
    var rest = text[...]
    while let open = rest.firstIndex(of: "["), let close = rest[open...].firstIndex(of: "]") {
        let inner = rest[rest.index(after: open)..<close]
        let after = rest[rest.index(after: close)...]
        let isAttached = (open > rest.startIndex ? rest[rest.index(before: open)] : result.last ?? " ").isLetter
        let changes =
            inner.allSatisfy(\.isNumber)
            ? !inner.isEmpty && (!isAttached || after.first == ":")
            : inner.hasPrefix("0x") || inner.contains(".cc:") || inner.contains(".h:")
                || isDate(inner.prefix { $0 != " " && $0 != "T" }) || isTime(inner)
        result += rest[..<open]
        if !changes { result += rest[open...close] }
        rest = after
    }
    return result + rest
}

/// `18:08:24`, with or without a fraction.
private func isTime(_ word: Substring) -> Bool {
    let parts = word.prefix { $0 != "." && $0 != "," }.split(separator: ":", omittingEmptySubsequences: false)
    return parts.count == 3 && parts.allSatisfy { $0.count == 2 && $0.allSatisfy(\.isNumber) }
}

/// `2026-11-28`, `2026/11/28`, with or without a time behind it.
private func isDate(_ word: Substring) -> Bool {
    let day = word.prefix(10)
    guard day.count == 10, word.count == 10 || word.dropFirst(10).first == "T" else { return false }
    let parts = day.split { $0 == "-" || $0 == "/" }
    return parts.map(\.count) == [4, 2, 2] && parts.allSatisfy { $0.allSatisfy(\.isNumber) }
}

extension Substring {
    /// Where `text` begins for the first time.
    fileprivate func range(of text: String) -> Range<Index>? {
        var start = startIndex
        while start < endIndex {
            if self[start...].hasPrefix(text) { return start..<index(start, offsetBy: text.count) }
            start = index(after: start)
        }
        return nil
    }
}

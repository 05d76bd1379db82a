import NetworkTypes

// The syntax of Kubernetes' names, labels and annotations (apimachinery, pkg/util/validation).

/// Whether `text` is a label's or annotation's key: an optional DNS prefix and `/`, then 1 to 63 of `A-Za-z0-9-_.`.
func isQualifiedName(_ text: String) -> Bool {
    let parts = text.split(separator: "/", maxSplits: 1, omittingEmptySubsequences: false)
    guard let name = parts.last, !name.isEmpty, isLabelValue(String(name)) else { return false }
    return parts.count == 1 || isDNSName(parts[0])
}

/// Whether `text` is a label's value: empty, or 1 to 63 of `A-Za-z0-9-_.` that begin and end with a letter or digit.
func isLabelValue(_ text: String) -> Bool {
    let bytes = Array(text.utf8)
    guard let first = bytes.first, let last = bytes.last else { return true }
    return bytes.count <= 63 && isAlphanumeric(first) && isAlphanumeric(last)
        && bytes.allSatisfy { isAlphanumeric($0) || $0 == 0x2D || $0 == 0x5F || $0 == 0x2E }
}

private func isAlphanumeric(_ byte: UInt8) -> Bool {
    (byte >= 0x61 && byte <= 0x7A) || (byte >= 0x41 && byte <= 0x5A) || (byte >= 0x30 && byte <= 0x39)
}

func labelProblem(key: String, value: String) -> String? {
    if !isQualifiedName(key) {
        return "the key is no label name: want 1 to 63 letters, digits, -, _ and . after an optional DNS prefix and /"
    }
    if !isLabelValue(value) {
        return "expected at most 63 letters, digits, -, _ and . that begin and end with a letter or digit, "
            + "given \"\(printable(value))\""
    }
    return nil
}

func annotationProblem(key: String, value: String) -> String? {
    isQualifiedName(key.lowercased())
        ? nil : "the key is no annotation name: want 1 to 63 letters, digits, -, _ and . after an optional DNS prefix and /"
}

/// What `isUserName` wants, for people.
let userNameRule = "a user name: letters, digits, _, . and -, as in admin, first.last, DOMAIN\\user or user@corp.example"

/// Whether `text` is a user name as useradd(8) or a directory has it: `admin`, `first.last`, `DOMAIN\user`, `user@corp.example`,
/// `host$`; at most 255 bytes (LOGIN_NAME_MAX). It is never an option, and holds nothing by which a shell would do more than read it.
func isUserName(_ text: String) -> Bool {
    guard (1...255).contains(text.utf8.count) else { return false }
    var name = Array(text.utf8)[...]
    func isName(_ part: ArraySlice<UInt8>) -> Bool {
        guard let first = part.first, isAlphanumeric(first) || first == 0x5F else { return false }
        return part.allSatisfy { isAlphanumeric($0) || $0 == 0x5F || $0 == 0x2D || $0 == 0x2E }
    }
    if let slash = name.firstIndex(of: UInt8(ascii: "\\")) {
        guard isName(name[..<slash]) else { return false }
        name = name[(slash + 1)...]
    }
    if let sign = name.firstIndex(of: UInt8(ascii: "@")) {
        guard isName(name[(sign + 1)...]) else { return false }
        name = name[..<sign]
    } else if name.last == UInt8(ascii: "$") {
        name = name.dropLast()
    }
    return isName(name)
}

/// Whether `text` is a TLS server name that a binding may claim: a lower-case DNS name, or `*.` and one.
func isServerName(_ text: String) -> Bool {
    isDNSName(text.hasPrefix("*.") ? text.dropFirst(2) : text[...]) && IPv4Address(text) == nil
}

/// Whether `text` is a time as the API server writes it, `2026-01-02T15:04:05Z`: such texts sort as their times do.
func isTimestamp(_ text: String) -> Bool {
    let pattern = Array("dddd-dd-ddTdd:dd:ddZ".utf8)
    let bytes = Array(text.utf8)
    return bytes.count == pattern.count
        && zip(bytes, pattern).allSatisfy { byte, want in
            want == UInt8(ascii: "d") ? (byte >= 0x30 && byte <= 0x39) : byte == want
        }
}

// Foundation has base64 too, but these modules also serve the agent, which must stay small and start fast.

private let alphabet = Array("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/".utf8)

/// Standard base64 with padding (RFC 4648, section 4).
public func encodeBase64(_ bytes: some Collection<UInt8>) -> String { String(decoding: base64Bytes(bytes), as: UTF8.self) }

/// The same as bytes, of which no copy is made: they may be a secret.
public func base64Bytes(_ bytes: some Collection<UInt8>) -> [UInt8] {
    var output: [UInt8] = []
    output.reserveCapacity((bytes.count + 2) / 3 * 4)
    var iterator = bytes.makeIterator()
    while let first = iterator.next() {
        let second = iterator.next()
        let third = second == nil ? nil : iterator.next()
        let group = UInt32(first) << 16 | UInt32(second ?? 0) << 8 | UInt32(third ?? 0)
        output.append(alphabet[Int(group >> 18 & 63)])
        output.append(alphabet[Int(group >> 12 & 63)])
        output.append(second == nil ? 0x3D : alphabet[Int(group >> 6 & 63)])
        output.append(third == nil ? 0x3D : alphabet[Int(group & 63)])
    }
    return output
}

/// Strict standard base64: padding required, no white space, unused bits zero.
/// - Returns: nil for anything else.
public func decodeBase64(_ text: String) -> [UInt8]? { decodeBase64(Array(text.utf8)) }

/// The same of characters as bytes, of which no copy is made: they may be a secret.
public func decodeBase64(_ input: [UInt8]) -> [UInt8]? {
    guard input.count % 4 == 0 else { return nil }
    let padding = input.suffix(2).reversed().prefix { $0 == 0x3D }.count
    var output: [UInt8] = []
    output.reserveCapacity(input.count / 4 * 3)
    var group: UInt32 = 0
    var count = 0
    for character in input.dropLast(padding) {
        let value: UInt8
        switch character {
        case 0x41...0x5A: value = character - 0x41
        case 0x61...0x7A: value = character - 0x61 + 26
        case 0x30...0x39: value = character - 0x30 + 52
        case 0x2B: value = 62
        case 0x2F: value = 63
        default: return nil
        }
        group = group << 6 | UInt32(value)
        count += 1
        if count == 4 {
            output.append(UInt8(truncatingIfNeeded: group >> 16))
            output.append(UInt8(truncatingIfNeeded: group >> 8))
            output.append(UInt8(truncatingIfNeeded: group))
            group = 0
            count = 0
        }
    }
    switch (count, padding) {
    case (0, 0): break
    case (3, 1) where group & 3 == 0:
        output.append(UInt8(truncatingIfNeeded: group >> 10))
        output.append(UInt8(truncatingIfNeeded: group >> 2))
    case (2, 2) where group & 15 == 0:
        output.append(UInt8(truncatingIfNeeded: group >> 4))
    default: return nil
    }
    return output
}

/// base64url without padding (RFC 4648, section 5).
public func encodeBase64URL(_ bytes: some Collection<UInt8>) -> [UInt8] {
    base64Bytes(bytes).compactMap { byte in
        switch byte {
        case 0x2B: 0x2D
        case 0x2F: 0x5F
        case 0x3D: nil
        default: byte
        }
    }
}

/// The same back, with padding or without.
/// - Returns: nil for anything else.
public func decodeBase64URL(_ input: some Collection<UInt8>) -> [UInt8]? {
    guard !input.contains(where: { $0 == 0x2B || $0 == 0x2F }) else { return nil }
    var base64 = input.map { $0 == 0x2D ? 0x2B : $0 == 0x5F ? 0x2F : $0 }
    while base64.count % 4 != 0 { base64.append(0x3D) }
    return decodeBase64(base64)
}

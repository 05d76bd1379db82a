import NetworkTypes
public import Sodium

/// An answer over HTTP/1.1, with its body decoded.
public struct HTTPReply: Hashable, Sendable {
    public var status: Int
    public var body: [UInt8]
    /// An uplink's `x-tidegate-status`; nil where there is none.
    public var statusNumber: UInt64?
    /// An uplink's `x-tidegate-document`, the hash of what it has in force; nil where there is none.
    public var document: SHA256Digest?

    public init(status: Int, body: [UInt8], statusNumber: UInt64? = nil, document: SHA256Digest? = nil) {
        self.status = status
        self.statusNumber = statusNumber
        self.document = document
        self.body = body
    }

    var text: String { String(decoding: body, as: UTF8.self) }
}

/// Why bytes are no answer over HTTP/1.1.
struct MalformedHTTP: Error, Hashable, Sendable, CustomStringConvertible {
    let reason: String
    var description: String { "malformed HTTP answer: \(reason)" }
}

/// Reads one answer out of the bytes of a connection that the server closes at its end (RFC 9112); hostile bytes give an error.
enum HTTPReplyParser {
    /// - Parameter isAtEnd: whether no more bytes will come.
    /// - Returns: nil while more bytes are needed.
    static func parse(_ bytes: [UInt8], isAtEnd: Bool) throws(MalformedHTTP) -> HTTPReply? {
        guard let end = headerEnd(bytes) else {
            if bytes.count > 16 << 10 { throw MalformedHTTP(reason: "its header is longer than 16 KiB") }
            if isAtEnd { throw MalformedHTTP(reason: "it ended within its header") }
            return nil
        }
        let lines = bytes[..<end].split(separator: UInt8(ascii: "\n")).map { line in
            String(decoding: line.last == 13 ? line.dropLast() : line, as: UTF8.self)
        }
        let words = (lines.first ?? "").split(separator: " ", maxSplits: 2)
        guard words.count >= 2, words[0].hasPrefix("HTTP/1."), words[1].utf8.count == 3, let status = decimal(words[1])
        else {
            throw MalformedHTTP(reason: "it does not begin with a status line")
        }
        var length: Int?
        var isChunked = false
        var statusNumber: UInt64?
        var document: SHA256Digest?
        for line in lines.dropFirst() {
            let parts = line.split(separator: ":", maxSplits: 1)
            guard parts.count == 2 else { continue }
            let value = parts[1].drop { $0 == " " || $0 == "\t" }
            switch parts[0].lowercased() {
            case "content-length":
                guard let number = decimal(value) else { throw MalformedHTTP(reason: "a bad content-length") }
                length = number
            case "x-tidegate-status": statusNumber = value.utf8.allSatisfy { $0 >= 0x30 && $0 <= 0x39 } ? UInt64(value) : nil
            case "x-tidegate-document": document = SHA256Digest(String(value))
            case "transfer-encoding": isChunked = value.lowercased() == "chunked"
            default: break
            }
        }
        let body = bytes[end...]
        if isChunked {
            return try chunks(body, isAtEnd: isAtEnd).map {
                HTTPReply(status: status, body: $0, statusNumber: statusNumber, document: document)
            }
        }
        if let length {
            if body.count >= length {
                return HTTPReply(status: status, body: Array(body.prefix(length)), statusNumber: statusNumber, document: document)
            }
            if isAtEnd { throw MalformedHTTP(reason: "it ended after \(body.count) of \(length) bytes") }
            return nil
        }
        return isAtEnd ? HTTPReply(status: status, body: Array(body), statusNumber: statusNumber, document: document) : nil
    }

    /// Digits alone, where `Int` also takes a sign.
    private static func decimal(_ text: Substring) -> Int? {
        text.utf8.allSatisfy { $0 >= 0x30 && $0 <= 0x39 } ? Int(text) : nil
    }

    /// The index after the empty line.
    private static func headerEnd(_ bytes: [UInt8]) -> Int? {
        var index = 0
        while index + 3 < bytes.count, index < 16 << 10 {
            if bytes[index] == 13, bytes[index + 1] == 10, bytes[index + 2] == 13, bytes[index + 3] == 10 { return index + 4 }
            index += 1
        }
        return nil
    }

    /// Copies nothing until all is there: it is asked after each piece that comes.
    private static func chunks(_ bytes: ArraySlice<UInt8>, isAtEnd: Bool) throws(MalformedHTTP) -> [UInt8]? {
        var count = 0
        guard try eachChunk(bytes, isAtEnd: isAtEnd, { count += $0.count }) else { return nil }
        var body: [UInt8] = []
        body.reserveCapacity(count)
        _ = try eachChunk(bytes, isAtEnd: isAtEnd) { body += $0 }
        return body
    }

    /// - Returns: whether the last one is there.
    private static func eachChunk(
        _ bytes: ArraySlice<UInt8>, isAtEnd: Bool, _ take: (ArraySlice<UInt8>) -> Void
    ) throws(MalformedHTTP) -> Bool {
        var rest = bytes
        while let lineEnd = rest.firstIndex(of: 10) {
            guard let size = size(rest[..<lineEnd]) else { throw MalformedHTTP(reason: "a bad chunk size") }
            if size == 0 { return true }
            rest = rest[(lineEnd + 1)...]
            // The chunk, then CR and LF.
            guard rest.count >= size + 2 else { break }
            take(rest.prefix(size))
            rest = rest.dropFirst(size + 2)
        }
        if isAtEnd { throw MalformedHTTP(reason: "it ended within a chunk") }
        return false
    }

    /// Hexadecimal digits, then whatever else the line has. Without a text for each line: a peer may send a chunk for each byte.
    private static func size(_ line: ArraySlice<UInt8>) -> Int? {
        var (size, count) = (0, 0)
        for byte in line {
            let digit: UInt8
            switch byte {
            case 0x30...0x39: digit = byte - 0x30
            case 0x41...0x46: digit = byte - 0x41 + 10
            case 0x61...0x66: digit = byte - 0x61 + 10
            default: return count > 0 ? size : nil
            }
            (size, count) = (size << 4 | Int(digit), count + 1)
            if count > 8 { return nil }
        }
        return count > 0 ? size : nil
    }
}

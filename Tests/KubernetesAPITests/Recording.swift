import EdgeAPI
import Glibc
import KubernetesAPI
import Testing

/// One exchange with a real kube-apiserver 1.36; Recorded/README.md says how they were taken.
struct Recording {
    let request: String
    let requestBody: [UInt8]
    let code: Int
    let headers: [String: String]
    let body: [UInt8]

    init(_ name: String) throws {
        let path = "\(#filePath.dropLast("Recording.swift".count))Recorded/\(name).http"
        let file = try #require(fopen(path, "r"), "\(path)")
        defer { fclose(file) }
        var bytes = [UInt8](repeating: 0, count: 1 << 17)
        let count = fread(&bytes, 1, bytes.count, file)
        let text = String(decoding: bytes.prefix(count), as: UTF8.self)
        let halves = text.split(separator: "--- answer ---\n", maxSplits: 1)
        try #require(halves.count == 2)
        let asked = halves[0].split(separator: "\n\n", maxSplits: 1, omittingEmptySubsequences: false)
        request = String(asked[0].split(separator: "\n")[0])
        requestBody = asked.count > 1 ? Array(asked[1].utf8) : []
        let answered = halves[1].split(separator: "\n\n", maxSplits: 1, omittingEmptySubsequences: false)
        let head = answered[0].split(separator: "\n")
        code = try #require(Int(head[0].split(separator: " ")[1]))
        var headers: [String: String] = [:]
        for line in head.dropFirst() {
            let parts = line.split(separator: ": ", maxSplits: 1)
            if parts.count == 2 { headers[parts[0].lowercased()] = String(parts[1]) }
        }
        self.headers = headers
        // The recordings end with a newline of their own.
        var body = answered.count > 1 ? Array(answered[1].utf8) : []
        if body.last == 0x0A { body.removeLast() }
        self.body = body
    }

    static var names: [String] {
        guard let folder = opendir("\(#filePath.dropLast("Recording.swift".count))Recorded") else { return [] }
        defer { closedir(folder) }
        var names: [String] = []
        while let entry = readdir(folder) {
            let name = withUnsafePointer(to: &entry.pointee.d_name) {
                $0.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
            }
            if name.hasSuffix(".http") { names.append(String(name.dropLast(5))) }
        }
        return names.sorted()
    }

    var events: [WatchEvent] {
        get throws {
            var framer = WatchFramer()
            let lines = try framer.feed(body)
            try framer.finish()
            return try lines.map { try WatchEvent(line: $0) }
        }
    }
}

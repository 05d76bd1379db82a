import Glibc
import JSON
public import Logging

/// How log lines look: `LOG_FORMAT`, JSON unless it says `text`.
public enum LogFormat: String, Sendable {
    case json
    case text
}

/// A line a record on standard error, as JSON objects or as readable text.
public struct StructuredLogHandler: LogHandler {
    public var logLevel: Logger.Level
    public var metadata: Logger.Metadata = [:]
    private let label: String
    private let format: LogFormat

    public init(label: String, format: LogFormat, logLevel: Logger.Level) {
        self.label = label
        self.format = format
        self.logLevel = logLevel
    }

    /// Installs the handler for the whole process from `LOG_FORMAT` (json|text) and `LOG_LEVEL` (debug|info|warn|error).
    public static func bootstrap(environment: [String: String]) {
        let format = environment["LOG_FORMAT"].flatMap { LogFormat(rawValue: $0.lowercased()) } ?? .json
        let level = level(named: environment["LOG_LEVEL"] ?? "")
        LoggingSystem.bootstrap { StructuredLogHandler(label: $0, format: format, logLevel: level) }
    }

    /// `info` for a name that is none of debug, info, warn and error.
    public static func level(named name: String) -> Logger.Level {
        switch name.lowercased() {
        case "debug": .debug
        case "warn", "warning": .warning
        case "error": .error
        default: .info
        }
    }

    public subscript(metadataKey key: String) -> Logger.Metadata.Value? {
        get { metadata[key] }
        set { metadata[key] = newValue }
    }

    public func log(event: LogEvent) {
        var all = metadata.merging(event.metadata ?? [:]) { $1 }
        if let error = event.error, all["error"] == nil { all["error"] = "\(error)" }
        let fields = all.sorted { $0.key < $1.key }.map { ($0.key, "\($0.value)") }
        let line = render(level: event.level, message: event.message.description, fields: fields, time: timestamp())
        // One write a line: lines of several threads never mix.
        var bytes = Array(line.utf8)
        _ = bytes.withUnsafeMutableBytes { Glibc.write(STDERR_FILENO, $0.baseAddress, $0.count) }
    }

    func render(level: Logger.Level, message: String, fields: [(String, String)], time: String) -> String {
        let name = level == .warning ? "warn" : level.rawValue
        switch format {
        case .json:
            var parts = [("time", time), ("level", name), ("logger", label), ("message", message)]
            let taken = Set(parts.map(\.0))
            parts += fields.map { (taken.contains($0.0) ? "\($0.0)_" : $0.0, $0.1) }
            return "{" + parts.map { "\(quotedJSON($0.0)):\(quotedJSON($0.1))" }.joined(separator: ",") + "}\n"
        case .text:
            let tail = fields.map { " \(escaped($0.0))=\(quotedJSON($0.1))" }.joined()
            return "\(time) \(name.uppercased()) \(label): \(escaped(message))\(tail)\n"
        }
    }
}

private func timestamp() -> String {
    var now = timespec()
    clock_gettime(CLOCK_REALTIME, &now)
    var parts = tm()
    gmtime_r(&now.tv_sec, &parts)
    func padded(_ value: some BinaryInteger, _ width: Int) -> String {
        let digits = String(value)
        return String(repeating: "0", count: max(0, width - digits.count)) + digits
    }
    let date = "\(padded(parts.tm_year + 1900, 4))-\(padded(parts.tm_mon + 1, 2))-\(padded(parts.tm_mday, 2))"
    let clock = "\(padded(parts.tm_hour, 2)):\(padded(parts.tm_min, 2)):\(padded(parts.tm_sec, 2))"
    return "\(date)T\(clock).\(padded(now.tv_nsec / 1_000_000, 3))Z"
}

/// Control characters cannot forge a line.
private func escaped(_ text: String) -> String { String(quotedJSON(text).unicodeScalars.dropFirst().dropLast()) }

import FoundationEssentials
import Logging
import Testing

@testable import StructuredLogging

@Suite struct LogFormatTests {
    private func line(_ format: LogFormat, level: Logger.Level = .info, _ message: String, _ fields: [(String, String)] = [])
        -> String
    {
        StructuredLogHandler(label: "agent", format: format, logLevel: .debug)
            .render(level: level, message: message, fields: fields, time: "2026-11-21T10:00:00.000Z")
    }

    @Test func writesJSON() {
        #expect(
            line(.json, level: .warning, "hello", [("port", "443")])
                == #"{"time":"2026-11-21T10:00:00.000Z","level":"warn","logger":"agent","message":"hello","port":"443"}"# + "\n")
    }

    @Test func writesText() {
        #expect(
            line(.text, level: .error, "hello", [("port", "443")]) == "2026-11-21T10:00:00.000Z ERROR agent: hello port=\"443\"\n"
        )
    }

    /// A value from outside can neither end its line nor move a terminal's cursor.
    @Test(arguments: [LogFormat.json, .text]) func cannotBeForged(format: LogFormat) {
        let evil = "a\nb\r\u{1B}[2J\u{0}\u{7F}\u{9B}\"\\"
        let written = line(format, evil, [("key\n", evil)])
        #expect(written.utf8.filter { $0 == 0x0A }.count == 1)
        #expect(written.last == "\n")
        #expect(!written.dropLast().unicodeScalars.contains { $0.properties.generalCategory == .control })
    }

    @Test func isValidJSONThatReadsBack() throws {
        let evil = "a\nb\t\"\\\u{1F}\u{7F}\u{2028}é東"
        let read = try JSONDecoder().decode(
            [String: String].self, from: Data(line(.json, evil, [("message", "x"), ("time", evil)]).utf8))
        #expect(read["message"] == evil)
        // Fields never hide what every line has.
        #expect(read["message_"] == "x")
        #expect(read["time"] == "2026-11-21T10:00:00.000Z")
        #expect(read["time_"] == evil)
    }

    @Test(arguments: [
        ("debug", Logger.Level.debug), ("info", .info), ("warn", .warning), ("WARNING", .warning), ("Error", .error), ("", .info),
        ("loud", .info),
    ])
    func knowsItsLevels(name: String, level: Logger.Level) {
        #expect(StructuredLogHandler.level(named: name) == level)
    }
}

import FoundationEssentials
import Glibc
import NetworkTypes
import NodeDocument

extension TidegateBench {
    /// What the worst report of a VPS costs that the bounds let be decoded, and the worst that they do not.
    static func reportHostileReports(to relay: RelayContent) throws {
        let bounds = ReportBounds(of: relay)
        let head =
            #"{"outcome":"applied","agentBuild":"b1","changes":[],"problems":[],"listeners":[],"peers":[],"starved":[],"drift":["#
        let hostile = [
            // As many texts as may be, empty and as long as may be.
            filled(head, #""","#, #"""]}"#, 39_000 * 3),
            filled(head, #""\#(String(repeating: "\u{202E}", count: 5000))","#, #"""]}"#, bounds.bytes),
            filled(head, #""\u001b","#, #"""]}"#, 39_000 * 9), filled(head, #""x","#, #"""]}"#, bounds.bytes),
            filled(head, "[", "]}", bounds.bytes), filled(#"{"a":1"#, #","a":1"#, "}", 19_000 * 6),
        ]
        var (time, memory) = (0.0, 0)
        for text in hostile {
            let bytes = Array(text.utf8)
            _ = try? bounds.report(from: Array(head.utf8))
            let (before, begun) = (residentPeak(reset: true), threadTime())
            _ = try? bounds.report(from: bytes)
            time = max(time, threadTime() - begun)
            memory = max(memory, residentPeak(reset: false) - before + bytes.count / 1024)
        }
        report("the worst report of a VPS, time of a core", time * 1000, unit: "ms", limit: 50)
        report("the worst report of a VPS, memory with the report itself", Double(memory) / 1024, unit: "MiB", limit: 8)
    }

    /// What an answer costs, of which no mark ends the report, or which is all lines.
    static func reportHostileAnswers() {
        let marks = Array(repeating: UInt8(ascii: "t"), count: 16 << 20)
        let lines = (0..<16 << 20).map { $0 % 2 == 0 ? UInt8(ascii: "\n") : UInt8(ascii: "x") }
        var time = 0.0
        for text in [marks, lines] {
            let begun = threadTime()
            _ = text.range(of: "tidegate-end 0123456789abcdef".utf8)
            text.forEachLine { if $0.first == UInt8(ascii: "{") { preconditionFailure("none") } }
            time = max(time, threadTime() - begun)
        }
        report("the worst answer of a VPS, 16 MiB, time of a core until its report is found", time * 1000, unit: "ms", limit: 100)
    }

    private static func filled(_ head: String, _ unit: String, _ tail: String, _ length: Int) -> String {
        head + String(repeating: unit, count: (length - head.utf8.count - tail.utf8.count) / unit.utf8.count) + tail
    }

    private static func threadTime() -> Double {
        var time = timespec()
        clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time)
        return Double(time.tv_sec) + Double(time.tv_nsec) / 1e9
    }

    /// KiB: the most that was resident since the last reset (proc(5), clear_refs 5).
    private static func residentPeak(reset: Bool) -> Int {
        if reset {
            let file = open("/proc/self/clear_refs", O_WRONLY)
            _ = write(file, "5", 1)
            close(file)
        }
        let status = (try? String(contentsOfFile: "/proc/self/status", encoding: .utf8)) ?? ""
        let line = status.split(separator: "\n").first { $0.hasPrefix("VmHWM:") } ?? ""
        return Int(line.filter(\.isNumber)) ?? 0
    }
}

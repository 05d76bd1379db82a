import CLinuxHeaders
import Glibc
import Testing

@testable import QuietMemory

@Suite struct QuietMemoryTests {
    @Test func onlyTheFirstQuietPeriodAfterABusyOneCounts() {
        var moments = QuietMoments()
        // Milliseconds of processor time at the end of each period of 5 s; 5 % are 250.
        let looks: [(Int, Bool)] = [
            (3000, false), (8000, false), (8300, false), (8540, true), (8600, false), (8700, false), (9000, false), (9100, true),
            (9110, false),
        ]
        for (used, expected) in looks {
            #expect(moments.isFirstOfQuiet(used: .milliseconds(used), in: .seconds(5)) == expected, "\(used)")
        }
    }

    @Test func startThatWasQuietCountsOnce() {
        var moments = QuietMoments()
        let answers = [10, 20, 30].map { moments.isFirstOfQuiet(used: .milliseconds($0), in: .seconds(5)) }
        #expect(answers == [false, true, false])
    }

    /// The program goes on, with what it needs again.
    @Test func programsPagesComeBack() {
        for _ in 0..<20 {
            #expect(tidegate_release_program_pages() > 1 << 20)
            #expect((0..<1000).map { "\($0)" }.joined().count == 2890)
        }
    }
}

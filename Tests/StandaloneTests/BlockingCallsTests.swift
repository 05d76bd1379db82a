import Dispatch
import Glibc
import Testing

@testable import Standalone

@Suite struct BlockingCallsKernelTests {
    /// More calls wait than Swift has threads; the task that lets them go comes to its turn all the same.
    @Test func whoWaitsHoldsUpNoTask() async throws {
        let count = sysconf(Int32(_SC_NPROCESSORS_ONLN)) + 2
        let release = DispatchSemaphore(value: 0)
        let wereLetGo = try await withThrowingTaskGroup(of: Bool.self) { group in
            for number in 0..<count {
                group.addTask {
                    try await BlockingCalls("tidegate.test.\(number)").run {
                        release.wait(timeout: .now() + 60) == .success
                    }
                }
            }
            try await Task.sleep(for: .milliseconds(50))
            for _ in 0..<count { release.signal() }
            return try await group.reduce(into: []) { $0.append($1) }
        }
        #expect(wereLetGo.count == count && wereLetGo.allSatisfy { $0 })
    }

    @Test func callsComeOneAfterTheOther() async throws {
        final class Count: @unchecked Sendable {
            var value = 0
        }
        // Unguarded: the executor is what guards it.
        let count = Count()
        let calls = BlockingCalls("tidegate.test")
        try await withThrowingTaskGroup { group in
            for _ in 0..<1000 {
                group.addTask {
                    try await calls.run {
                        let before = count.value
                        sched_yield()
                        count.value = before + 1
                    }
                }
            }
            try await group.waitForAll()
        }
        #expect(count.value == 1000)
    }
}

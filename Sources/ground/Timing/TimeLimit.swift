/// Runs `body` until that moment at most, and cancels it then; it is waited for all the same.
/// - Returns: nil when the time was over before it ended.
public func withTimeLimit<Value: Sendable>(
    until deadline: ContinuousClock.Instant, _ body: @escaping @Sendable () async -> Value
) async -> Value? {
    await withTaskGroup(of: Value?.self) { group in
        group.addTask { await body() }
        group.addTask {
            try? await Task.sleep(until: deadline, clock: .continuous)
            return nil
        }
        var (value, isLate) = (Value?.none, false)
        for await ended in group {
            if let ended {
                if !isLate { value = ended }
            } else {
                // A timer that was cancelled, with the task or after the body, says nothing.
                isLate = value == nil && ContinuousClock.now >= deadline
            }
            group.cancelAll()
        }
        return value
    }
}

/// Runs `body` for so long at most, and cancels it then; it is waited for all the same.
/// - Returns: nil when the time was over before it ended.
/// - Throws: what `body` throws before.
public func withTimeLimit<Value: Sendable>(
    _ limit: Duration, _ body: @escaping @Sendable () async throws -> Value
) async throws -> Value? {
    try await withTimeLimit(until: .now + limit) { () -> Result<Value, any Error> in
        do { return .success(try await body()) } catch { return .failure(error) }
    }?.get()
}

/// The news that something changed under some paths, as an asynchronous sequence without detail: read them anew.
///
/// The first element comes at once, when all is being watched, so that a loop which loads at each element misses nothing.
/// Changes that follow each other closely come as one, and those that arrive while the loop is busy wait as one. A path may be
/// a file or a folder (then all in it and its sub-folders counts, hidden ones left out), may not be there yet, may go and come
/// again, and may lead through symbolic links that change.
///
/// The sequence ends when its task is cancelled, and throws `FileWatchError` when the system's limits on watches are reached.
public struct FileWatch: AsyncSequence, Sendable {
    public typealias Element = Void
    public typealias Failure = any Error

    private let paths: [String]
    private let quiet: Duration

    /// - Parameters:
    ///   - paths: relative ones are below the working directory of this moment.
    ///   - quiet: how long nothing more must happen before a change is told of; at most ten times this is waited in all.
    public init(paths: [String], quiet: Duration = .milliseconds(50)) {
        self.paths = paths.map(absolutePath)
        self.quiet = quiet
    }

    public func makeAsyncIterator() -> Iterator {
        let (stream, continuation) = AsyncThrowingStream.makeStream(of: Void.self, bufferingPolicy: .bufferingNewest(1))
        let watcher = Watcher(paths: paths, quiet: quiet, continuation: continuation)
        continuation.onTermination = { _ in watcher.stop() }
        watcher.start()
        return Iterator(base: stream.makeAsyncIterator())
    }

    public struct Iterator: AsyncIteratorProtocol {
        fileprivate var base: AsyncThrowingStream<Void, any Error>.Iterator

        /// - Returns: nil once the task is cancelled.
        /// - Throws: `FileWatchError`.
        public mutating func next() async throws -> Void? { try await base.next() }

        public mutating func next(isolation actor: isolated (any Actor)?) async throws -> Void? {
            try await base.next(isolation: actor)
        }
    }
}

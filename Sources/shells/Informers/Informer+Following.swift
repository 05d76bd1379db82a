import Documents
import EdgeAPI
import KubernetesAPI
import Logging
import Synchronization
import Timing

// The shell around the reflector: sends what it asks for, feeds it what comes back.
extension Informer {
    /// Lines in a row that are no events before a watch is given up: more than anybody could have made unreadable by mischief.
    static var mostUnreadable: Int { 100 }

    func follow() async {
        await withDiscardingTaskGroup { group in
            group.addTask { await self.runErrands() }
            var wait = Duration.zero
            while true {
                await time.sleep(for: wait)
                if Task.isCancelled { break }
                wait = await send()
            }
            group.cancelAll()
        }
    }

    /// Sends the next request. Returns how long to wait after it.
    private func send() async -> Duration {
        let (now, random) = (time.now(), time.random())
        let (request, serial) = change { state in
            if state.reflector.isAtStart { state.late = [] }
            state.stream += 1
            return (state.reflector.request(now: now, random: random), state.stream)
        }
        switch request {
        case .list(let limit, let next): return await list(limit: limit, next: next)
        case .watch(let version, let initialEvents, let timeout):
            return await withTaskGroup(of: Duration?.self) { group in
                group.addTask {
                    await self.watch(from: version, initialEvents: initialEvents, timeout: timeout, serial: serial)
                }
                group.addTask { await self.guardDeadline(serial: serial) }
                var wait: Duration?
                while wait == nil, let outcome = await group.next() { wait = outcome }
                group.cancelAll()
                return wait ?? .zero
            }
        }
    }

    private func list(limit: Int?, next: String?) async -> Duration {
        do throws(APIError) {
            let page = try await server.list(resource, selector, limit: limit, next: next, parts: parts)
            let objects = page.items.compactMap { observe($0) }
            recovered()
            change { $0.take($0.reflector.page(objects, resourceVersion: page.resourceVersion, next: page.next)) }
            return .zero
        } catch {
            return failed { $0.failed(error, now: $1, random: $2) }
        }
    }

    /// - Returns: how long to wait after it; nil when it was cancelled or does not count any more.
    private func watch(from version: String?, initialEvents: Bool, timeout: Int, serial: Int) async -> Duration? {
        var isOpen = false
        do throws(APIError) {
            let stream = try await server.watch(
                resource, selector, resourceVersion: version, initialEvents: initialEvents, timeout: timeout)
            let openedAt = time.now()
            guard change({ $0.isCurrent(serial) { $0.reflector.opened(now: openedAt) } }) else { return nil }
            isOpen = true
            recovered()
            var events = WatchEvents(stream, parts: parts)
            var unreadable = 0
            while true {
                let event: WatchEvent?
                do throws(APIError) {
                    event = try await events.next()
                } catch .malformed(let cause) where unreadable < Self.mostUnreadable {
                    unreadable += 1
                    logger.error("an event is passed over", metadata: ["what": "\(self)", "cause": "\(cause)"])
                    continue
                }
                guard let event else { break }
                unreadable = 0
                let outcome = take(event, serial: serial)
                if outcome.isOver { return outcome.wait }
            }
            return Task.isCancelled ? nil : failed(serial) { $0.closed(nil, now: $1, random: $2) }
        } catch {
            if Task.isCancelled { return nil }
            return failed(serial) { [isOpen] in
                isOpen ? $0.closed(error, now: $1, random: $2) : $0.failed(error, now: $1, random: $2)
            }
        }
    }

    private func take(_ event: WatchEvent, serial: Int) -> (isOver: Bool, wait: Duration?) {
        let known: Reflector<Object>.Event
        switch event {
        case .added(let node), .modified(let node):
            if let object = observe(node) {
                known = .put(object)
            } else {
                known = .passed(resourceVersion: event.resourceVersion ?? "")
            }
        case .deleted(let node):
            let version = event.resourceVersion ?? ""
            known =
                node["metadata"]?.objectName.map { .removed($0, resourceVersion: version) }
                ?? .passed(resourceVersion: version)
        case .bookmark(let version, let endsInitialEvents):
            known = endsInitialEvents ? .initialEventsEnd(resourceVersion: version) : .passed(resourceVersion: version)
        case .error(let status):
            let wait = failed(serial) { reflector, now, random in
                reflector.event(.error(status), now: now, random: random).wait ?? .zero
            }
            return (true, wait)
        }
        let (now, random) = (time.now(), time.random())
        let isCurrent = change { state in
            state.isCurrent(serial) { $0.take($0.reflector.event(known, now: now, random: random).effect) }
        }
        return (!isCurrent, nil)
    }

    /// Decodes an object that is wanted.
    private func observe(_ node: FieldNode) -> Observed<Object>? {
        if let wanted = state.withLock({ $0.wanted }) {
            guard let name = node["metadata"]?.objectName, wanted.contains(name) else { return nil }
        }
        return Observed(node, decode: decode)
    }

    /// Ends a watch that is silent for too long. Returns nil when it was cancelled.
    private func guardDeadline(serial: Int) async -> Duration? {
        while true {
            guard let deadline = state.withLock({ $0.stream == serial ? $0.reflector.deadline : nil }) else { return nil }
            let now = time.now()
            if now >= deadline { return failed(serial) { $0.silent(now: $1, random: $2) } }
            await time.sleep(deadline)
            if Task.isCancelled { return nil }
        }
    }

    // MARK: Failures

    /// Feeds the reflector a watch's end, unless the watch no longer counts; after it, it does not.
    private func failed(
        _ serial: Int, _ feed: @Sendable (inout Reflector<Object>, ContinuousClock.Instant, Double) -> Duration
    ) -> Duration? {
        let isCurrent = state.withLock { state in
            guard state.stream == serial else { return false }
            state.stream += 1
            return true
        }
        return isCurrent ? failed(feed) : nil
    }

    private func failed(
        _ feed: @Sendable (inout Reflector<Object>, ContinuousClock.Instant, Double) -> Duration
    ) -> Duration {
        let (now, random) = (time.now(), time.random())
        let (wait, problem, isFirst) = change { state in
            let before = state.reflector.problem
            let wait = feed(&state.reflector, now, random)
            let problem = state.reflector.problem
            if before != problem { state.outbox.append(.condition) }
            let isFirst = problem != nil && state.failingSince == nil
            if isFirst { state.failingSince = now }
            return (wait, problem, isFirst)
        }
        if let problem, !Task.isCancelled {
            let isNews = isFirst && (!isQuiet || problem.status?.code == 403)
            logger.log(
                level: isNews ? .warning : .debug, "the API server cannot be followed; what is known of it stays in use",
                metadata: ["what": "\(self)", "cause": "\(problem)", "nextTryIn": "\(wait)"])
        }
        return wait
    }

    private func recovered() {
        let now = time.now()
        let since = change { state in
            if state.reflector.problem != nil { state.outbox.append(.condition) }
            return state.failingSince.take()
        }
        if let since {
            logger.log(
                level: isQuiet ? .debug : .info, "the API server is followed again",
                metadata: ["what": "\(self)", "after": "\(now - since)"])
        }
    }
}

extension Informer: CustomStringConvertible {
    /// Such as `secrets in edge (metadata.name=tls)`.
    public var description: String {
        let place = selector.namespace.map { " in \($0)" } ?? ""
        let filters = [selector.labels, selector.fields].compactMap { $0 }.joined(separator: ", ")
        return resource.plural + place + (filters.isEmpty ? "" : " (\(filters))")
    }
}

extension Informer.State {
    /// - Returns: whether the watch of that number still counts; only then does `body` happen.
    fileprivate mutating func isCurrent(_ serial: Int, _ body: (inout Self) -> Void) -> Bool {
        guard stream == serial else { return false }
        body(&self)
        return true
    }
}

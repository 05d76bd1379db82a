import Documents
import EdgeAPI
import KubernetesAPI
import Logging
import Synchronization
import Timing

// Keeping only some names of what a watch tells. A name that becomes wanted late is read once, beside the watch.
extension Informer {
    /// What is known of a name.
    enum Knowledge {
        /// Nil: there is no such object.
        case certain(Observed<Object>?)
        /// Not known yet, and why.
        case open(APIError?)
    }

    func knowledge(of name: ObjectName) -> Knowledge {
        state.withLock { state in
            let isCovered = state.isSynced && state.wanted?.contains(name) != false && !state.uncovered.contains(name)
            // What is known of an uncovered name is from before: better than nothing.
            if isCovered || state.store[name] != nil { return .certain(state.store[name]) }
            return .open(state.reflector.problem)
        }
    }

    /// Names that are kept from now on; others are let go of without a word.
    /// - Parameter ranks: in which order those that must be read one by one are read: the lower first.
    func setWanted(_ names: Set<ObjectName>, ranks: [ObjectName: Int] = [:]) {
        change { state in
            state.ranks = ranks
            state.errands = []
            let before = state.wanted ?? []
            state.wanted = names
            for name in before.subtracting(names) { _ = state.store.remove(name, resourceVersion: nil) }
            let new = names.subtracting(before)
            state.uncovered = state.uncovered.intersection(names).union(new)
            state.late = state.late.intersection(names).union(new)
        }
    }

    /// Reads what no list told of.
    func runErrands() async {
        var backoff = Backoff()
        while !Task.isCancelled {
            await errands.wait()
            while let name = state.withLock({ $0.reflector.isCollecting ? nil : $0.nextErrand() }) {
                let answer: FieldNode?
                do throws(APIError) {
                    answer = try await server.get(resource, name, parts: parts)
                } catch {
                    if Task.isCancelled { return }
                    logger.warning(
                        "an object cannot be read", metadata: ["what": "\(self)", "name": "\(name)", "cause": "\(error)"])
                    let wait = backoff.next(now: time.now(), random: time.random(), retryAfter: error.status?.retryAfter)
                    await time.sleep(for: wait)
                    if Task.isCancelled { return }
                    continue
                }
                let object = answer.flatMap { Observed($0, decode: decode) }
                change { state in
                    // The watch, or a list, may have been faster: then it knows better.
                    guard state.uncovered.remove(name) != nil else { return }
                    if let object {
                        state.tell(state.store.put(object))
                    } else {
                        state.tell(state.store.remove(name, resourceVersion: nil))
                    }
                    state.outbox.append(.settled(name))
                }
            }
        }
    }
}

extension Informer.State {
    /// The uncovered name that is to be read next.
    fileprivate mutating func nextErrand() -> ObjectName? {
        while let name = errands.last {
            if uncovered.contains(name) { return name }
            errands.removeLast()
        }
        let ranks = ranks
        errands = uncovered.sorted { (ranks[$0] ?? 0, $0) > (ranks[$1] ?? 0, $1) }
        return errands.last
    }
}

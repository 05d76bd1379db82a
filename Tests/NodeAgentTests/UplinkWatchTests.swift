import EnvoyConfig
import NetworkTypes
import NodeDocument
import Sodium
import Testing

@testable import NodeAgent

/// An uplink as a path with losses lets it be seen: a table of what it answers when, and the watch's clock.
private struct PlayedUplink {
    var watch: UplinkWatch
    var now: Int64 = 0
    private var open: [Int: Int64?] = [:]
    var probes = 0
    var mostInFlight = 0
    var outs = 0

    init(uplinks: Int = 1, interval: Int = 1000, timeout: Int = 2000, threshold: Int = 2) throws {
        watch = UplinkWatch(
            try sampleProbes(uplinks: uplinks, interval: interval, timeout: timeout, threshold: threshold), now: 0)
    }

    /// - Parameter answer: milliseconds until the answer to a probe that begins at a moment, and the answer; nil for silence.
    mutating func run(until end: Int64, _ answer: (Int64) -> (Int64, UplinkWatch.Answer)?) {
        var answers: [(at: Int64, id: Int, answer: UplinkWatch.Answer)] = []
        while now <= end {
            let due = answers.filter { $0.at <= now }
            answers.removeAll { $0.at <= now }
            var actions = due.flatMap { watch.handle(.answered(id: $0.id, $0.answer), now: now) }
            let before = watch.uplinks.map(\.health)
            actions += watch.handle(.tick, now: now)
            for (one, other) in zip(before, watch.uplinks.map(\.health)) where one == .healthy && other != .healthy { outs += 1 }
            for action in actions {
                switch action {
                case .probe(let id, _):
                    probes += 1
                    open[id] = now
                    if let (delay, what) = answer(now) { answers.append((now + delay, id, what)) }
                case .drop(let id):
                    open[id] = nil
                    answers.removeAll { $0.id == id }
                case .fetch: break
                }
            }
            mostInFlight = max(mostInFlight, answers.count)
            now += 10
        }
    }
}

private func sampleProbes(uplinks: Int = 1, interval: Int = 1000, timeout: Int = 2000, threshold: Int = 2) throws -> UplinkProbes
{
    UplinkProbes(
        probing: UplinkProbing(intervalMilliseconds: interval, timeoutMilliseconds: timeout, unhealthyThreshold: threshold),
        uplinks: (0..<uplinks).map { ProbedUplink(ordinal: $0, address: IPv4Address(number: 0x0AC8_0002 + UInt32($0))) },
        tunnelPorts: ["web": try Port(20000), "dns": try Port(20001)])
}

private func report(_ bindings: [String]) -> UplinkReport {
    UplinkReport(
        ordinal: 0, hash: nil, ready: true, reason: nil, handshakeAge: 1, receivedBytes: 0, sentBytes: 0, wireGuardKind: nil,
        targets: bindings.map { TargetReport(binding: $0, reachable: true) })
}

@Suite struct UplinkWatchTests {
    @Test func isAskedOnceASecondAndNotMore() throws {
        var played = try PlayedUplink()
        played.run(until: 20_000) { _ in (20, .status(200, nil)) }
        #expect(played.watch.uplinks[0].health == .healthy)
        #expect((20...22).contains(played.probes))
    }

    @Test(arguments: [
        ("silence, with the defaults", 1000, 2000, 2, nil as UplinkWatch.Answer?, 5000 as Int64),
        ("refusals, with the defaults", 1000, 2000, 2, .refused, 2500),
        ("one refusal is enough where that is asked", 1000, 2000, 1, .refused, 1100),
        ("an error is as good as a refusal", 1000, 2000, 2, .status(500, nil), 2500),
        ("503 at once", 1000, 2000, 2, .status(503, nil), 1100),
    ])
    func isOutWithin(
        what: String, interval: Int, timeout: Int, threshold: Int, answer: UplinkWatch.Answer?, limit: Int64
    ) throws {
        var played = try PlayedUplink(interval: interval, timeout: timeout, threshold: threshold)
        played.run(until: 10_000) { _ in (20, .status(200, nil)) }
        #expect(played.outs == 0)
        played.run(until: 10_000 + limit) { _ in answer.map { (20, $0) } }
        #expect(played.watch.uplinks[0].health != .healthy, "\(what)")
        // Back with one success, soon.
        played.run(until: 10_000 + limit + 700) { _ in (20, .status(200, nil)) }
        #expect(played.watch.uplinks[0].health == .healthy, "\(what)")
    }

    /// A connection over a path that loses packets both ways: a lost SYN is sent again after 1 s and 3 s, what follows after 0.2 s.
    @Test(arguments: [(5, 3600 as Int64, 0), (20, 3600, 2)])
    func aLossyPathDoesNotFlap(percent: Int, seconds: Int64, outs: Int) throws {
        var random = SplitMix(state: 7)
        var played = try PlayedUplink()
        played.run(until: 5000) { _ in (20, .status(200, nil)) }
        played.run(until: seconds * 1000) { _ in
            func isLost() -> Bool { Int.random(in: 0..<100, using: &random) < percent }
            var delay: Int64 = 40
            for pause: Int64 in [1000, 2000, 4000] {
                if !(isLost() || isLost()) { break }
                delay += pause
            }
            while isLost() || isLost() { delay += 200 }
            return delay > 10_000 ? nil : (delay, .status(200, nil))
        }
        #expect(played.outs <= outs)
        #expect(played.mostInFlight <= 8)
    }

    @Test func comesBackSoonAfterACut() throws {
        var played = try PlayedUplink()
        played.run(until: 5000) { _ in (20, .status(200, nil)) }
        // A probe whose first packet is lost gets through by its second, after a second.
        played.run(until: 15_000) { now in now + 1000 > 15_000 ? (1020, .status(200, nil)) : nil }
        #expect(played.watch.uplinks[0].health == .silent)
        played.run(until: 15_600) { _ in (20, .status(200, nil)) }
        #expect(played.watch.uplinks[0].health == .healthy)
    }

    @Test func probesInFlightAreBounded() throws {
        var played = try PlayedUplink(timeout: 60_000)
        played.run(until: 200_000) { _ in (70_000, .status(200, nil)) }
        #expect(played.mostInFlight <= 8)
    }

    @Test func nothingIsToldBeforeEachUplinkHadItsTime() throws {
        var played = try PlayedUplink(uplinks: 2)
        played.run(until: 1000) { _ in nil }
        #expect(played.watch.assignment("web") == nil)
        played.run(until: 2500) { _ in nil }
        #expect(played.watch.assignment("web")?.endpoints.map(\.isHealthy) == [false, false])
        #expect(played.watch.assignment("unknown") == nil)
    }

    /// One uplink by WireGuard and by links: each way is asked and judged by itself, and what is gone of one is known of the other.
    @Test func twoWaysOfAnUplinkAreTwo() throws {
        var probes = try sampleProbes()
        let (tunnel, link) = (probes.uplinks[0].address, LinkedUplink.address(ofOrdinal: 0))
        probes.uplinks = [
            ProbedUplink(ordinal: 0, address: tunnel, priority: 0), ProbedUplink(ordinal: 0, address: link, priority: 1),
        ]
        var watch = UplinkWatch(probes, now: 0)
        let asked = watch.handle(.tick, now: 0).compactMap { action -> (id: Int, address: IPv4Address)? in
            if case .probe(let id, let address) = action { (id, address) } else { nil }
        }
        #expect(asked.map(\.address) == [tunnel, link])
        _ = watch.handle(.answered(id: asked[0].id, .refused), now: 10)
        _ = watch.handle(.answered(id: asked[1].id, .status(200, nil)), now: 10)
        #expect(watch.uplinks.map(\.health) == [.silent, .healthy])
        let told = try #require(watch.assignment("web")).endpoints
        #expect(told.map(\.isHealthy) == [false, true] && told.map(\.priority) == [0, 1])
        // The order changes, and no way is asked anew.
        let revision = watch.endpointRevision
        probes.uplinks = [
            ProbedUplink(ordinal: 0, address: link, priority: 0), ProbedUplink(ordinal: 0, address: tunnel, priority: 1),
        ]
        #expect(watch.set(probes, now: 20) == [])
        #expect(watch.endpointRevision > revision)
        #expect(watch.assignment("web")?.endpoints.map(\.isHealthy) == [true, false])
        #expect(watch.assignment("web")?.endpoints.map(\.priority) == [0, 1])
    }

    /// What an uplink says counts by its best way; it is silent where it is so by all.
    @Test(
        arguments: [
            (.healthy, .silent, true), (.silent, .healthy, true), (.notReady, .silent, false), (.silent, .notReady, false),
            (.notReady, .healthy, true), (.silent, .silent, nil),
        ] as [(UplinkWord.Entry.Health, UplinkWord.Entry.Health, Bool?)])
    func anUplinkIsJudgedByItsBestWay(
        tunnel: UplinkWord.Entry.Health, link: UplinkWord.Entry.Health, isReady: Bool?
    ) throws {
        let addresses = [IPv4Address(number: 0x0AC8_0002), LinkedUplink.address(ofOrdinal: 0)]
        let word = UplinkWord(
            uplinks: zip(addresses, [tunnel, link]).map { address, health in
                UplinkWord.Entry(
                    ordinal: 0, address: address, health: health, report: health == .silent ? nil : report(["web"]),
                    forwardsAll: false)
            })
        switch word.saying(of: 0, at: addresses) {
        case .report(let report): #expect(report.ready == isReady)
        case .silence: #expect(isReady == nil)
        case nil: Issue.record("nobody is to be asked")
        }
        #expect(word.starved(["web"]) == (isReady == true ? [] : ["web"]))
        #expect(word.saying(of: 1, at: addresses) == nil)
        #expect(word.saying(of: 0, at: [IPv4Address(number: 1)]) == nil, "what was said of another address counts for nothing")
    }

    /// Its answer to a probe says as much as all that it would tell of thousands of bindings.
    @Test func whoHasTheDocumentInForceServesAll() throws {
        let (old, new) = (SHA256.digest(of: "old"), SHA256.digest(of: "new"))
        var probes = try sampleProbes()
        probes.document = new
        var watch = UplinkWatch(probes, now: 0)
        func answer(_ document: SHA256Digest?, number: UInt64, at now: Int64) -> [UplinkWatch.Action] {
            let actions = watch.handle(.tick, now: now)
            guard case .probe(let id, _)? = actions.first else { return actions }
            return watch.handle(.answered(id: id, .status(200, number, document)), now: now)
        }
        _ = answer(old, number: 1, at: 0)
        #expect(!watch.uplinks[0].serves("web") && !watch.isPrimed)
        var revision = watch.endpointRevision
        _ = answer(new, number: 2, at: 1000)
        #expect(watch.uplinks[0].serves("web") && watch.uplinks[0].isCurrent && watch.isPrimed)
        #expect(watch.endpointRevision > revision)
        #expect(watch.assignment("web")?.endpoints.map(\.isHealthy) == [true])
        #expect(UplinkWord(watch, isBrief: true).servesAll(new) && !UplinkWord(watch).servesAll(old))
        // Others are wanted now: it has not taken them up.
        revision = watch.endpointRevision
        probes.document = SHA256.digest(of: "newer")
        _ = watch.set(probes, now: 2000)
        #expect(!watch.uplinks[0].serves("web") && watch.endpointRevision > revision)
        // None is known, as of a writer that does not tell.
        probes.document = nil
        _ = watch.set(probes, now: 3000)
        _ = answer(nil, number: 3, at: 4000)
        #expect(!watch.uplinks[0].isCurrent && !UplinkWord(watch).servesAll(nil))
    }

    @Test func servesWhatItForwards() throws {
        var watch = UplinkWatch(try sampleProbes(), now: 0)
        var fetch: Int?
        func take(_ actions: [UplinkWatch.Action], number: UInt64, at now: Int64) {
            for action in actions {
                switch action {
                case .probe(let id, _):
                    take(watch.handle(.answered(id: id, .status(200, number)), now: now), number: number, at: now)
                case .fetch(let id, _): fetch = id
                case .drop: break
                }
            }
        }
        take(watch.handle(.tick, now: 0), number: 1, at: 0)
        #expect(watch.assignment("web") == nil, "it was not asked yet")
        let first = try #require(fetch)
        _ = watch.handle(.fetched(id: first, report(["web"])), now: 100)
        #expect(watch.assignment("web")?.endpoints.map(\.isHealthy) == [true])
        #expect(watch.assignment("dns")?.endpoints.map(\.isHealthy) == [false])
        // The same number: not asked again. Another: asked, once a second.
        take(watch.handle(.tick, now: 1100), number: 1, at: 1100)
        #expect(fetch == first)
        take(watch.handle(.tick, now: 2200), number: 2, at: 2200)
        let second = try #require(fetch)
        #expect(second != first)
        _ = watch.handle(.fetched(id: second, report(["dns", "web"])), now: 2300)
        #expect(watch.assignment("dns")?.endpoints.map(\.isHealthy) == [true])
    }

    /// A new binding's first connection waits for it; an answer of thousands of bindings is not read more often for that.
    @Test(arguments: [(2, 5), (5000, 1)]) func isReadSoonWhileSomebodyWaits(bindings: Int, fetches: Int) throws {
        var probes = try sampleProbes()
        for number in 2..<max(bindings, 3) { probes.tunnelPorts["b\(number)"] = try Port(20_000 + number) }
        var watch = UplinkWatch(probes, now: 0)
        var (seen, number) = (0, UInt64(0))
        for now in stride(from: Int64(0), to: 1000, by: 10) {
            for action in watch.handle(.tick, now: now) {
                guard case .probe(let id, _) = action else { continue }
                number += 1
                for next in watch.handle(.answered(id: id, .status(200, number)), now: now) {
                    guard case .fetch(let id, _) = next else { continue }
                    seen += 1
                    _ = watch.handle(.fetched(id: id, report(["web"])), now: now)
                }
            }
        }
        #expect(seen == fetches)
    }

    @Test func anUplinkThatDoesNotTellForwardsEverything() throws {
        var played = try PlayedUplink()
        played.run(until: 100) { _ in (20, .status(200, nil)) }
        #expect(played.watch.assignment("dns")?.endpoints.map(\.isHealthy) == [true])
    }

    @Test func knowledgeOutlivesAChangeOfTheProbes() throws {
        var played = try PlayedUplink()
        played.run(until: 100) { _ in (20, .status(200, nil)) }
        let more = try sampleProbes(uplinks: 2)
        _ = played.watch.set(more, now: 110)
        #expect(played.watch.uplinks.map(\.health) == [.healthy, .unknown])
        #expect(played.watch.assignment("web")?.endpoints.map(\.isHealthy) == [true, false])
    }
}

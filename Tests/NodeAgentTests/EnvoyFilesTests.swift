import NodeDocument
import Testing

@testable import NodeAgent

@Suite struct EnvoyFilesTests {
    let facts = EnvoyHost(hasIPv6: true, memoryBytes: 1 << 30)

    private func files(_ document: RelayDocument, leavingOut omitted: Set<String> = []) -> EnvoyFileSet {
        EnvoyFileSet(document.content.envoy, on: facts, leavingOut: omitted)
    }

    @Test func everyFileIsThere() throws {
        #expect(
            files(try sampleDocument()).files.keys.sorted()
                == ["bootstrap.json", "cds.json", "eds/dns.json", "launch.json", "lds.json", "sds/web.json", "tls/web-0a.key"])
    }

    @Test func versionsFollowTheContent() throws {
        let document = try sampleDocument()
        let all = files(document)
        #expect(files(document) == all)
        let less = files(document, leavingOut: ["udp-53"])
        #expect(less.listenersVersion != all.listenersVersion)
        #expect(less.clustersVersion == all.clustersVersion)
        let text = String(decoding: all.files["lds.json"] ?? [], as: UTF8.self)
        #expect(text.hasPrefix("{\"version_info\":\"\(all.listenersVersion)\",\"resources\":["))
    }

    @Test func sameFilesAreNoChange() throws {
        let wanted = files(try sampleDocument())
        #expect(EnvoyFileChanges(from: wanted.files, to: wanted).isEmpty)
    }

    @Test func everyChangeIsSeen() throws {
        let wanted = files(try sampleDocument())
        var current = wanted.files
        current["eds/dns.json"] = []
        current["eds/old.json"] = []
        current["tls/web-0a.key"] = nil
        current["lds.json"] = nil
        let changes = EnvoyFileChanges(from: current, to: wanted)
        #expect(changes.content == ["tls/web-0a.key", "eds/dns.json"], "a key before what refers to it")
        #expect(changes.listeners && !changes.clusters && !changes.bootstrap)
        #expect(changes.removed == ["eds/old.json"])
        #expect(changes.needsProof)
        #expect(
            changes.words == [
                "Envoy's endpoints written: 1", "Envoy's TLS files written: 1", "Envoy's listeners written",
                "Envoy's files removed: 1",
            ])
    }

    @Test func endpointsAloneNeedNoProof() throws {
        let wanted = files(try sampleDocument())
        var current = wanted.files
        current["eds/dns.json"] = []
        #expect(!EnvoyFileChanges(from: current, to: wanted).needsProof)
    }

    @Test func clustersThatGoStayUntilNoListenerUsesThem() throws {
        let former = try sampleDocument(clusters: ["web", "dns", "old"]).content.envoy
        let new = try sampleDocument(clusters: ["web", "dns"]).content.envoy
        let both = try #require(EnvoyFileSet.clustersOfBoth(former, new, on: facts))
        let text = String(decoding: both, as: UTF8.self)
        for name in ["web", "dns", "old"] { #expect(text.contains("\"name\":\"\(name)\"")) }
        #expect(EnvoyFileSet.clustersOfBoth(new, former, on: facts) == nil)
        #expect(EnvoyFileSet.clustersOfBoth(nil, new, on: facts) == nil)
    }

    @Test func statsAreRead() {
        let stats = EnvoyStats(
            """
            cluster_manager.cds.update_failure: 9223372036854775807
            cluster_manager.cds.update_rejected: 2
            cluster_manager.cds.version_text: "c1"
            cluster_manager.warming_clusters: 3
            listener_manager.lds.update_failure: 1
            listener_manager.lds.update_rejected: 5
            listener_manager.lds.version_text: ""
            listener_manager.total_listeners_active: 6
            cluster.dns.membership_healthy: 0
            cluster.admin.membership_healthy: 1
            cluster.web.membership_healthy: 0
            server.state: 0
            nonsense
            """)
        #expect(stats.isLive)
        #expect(stats.clustersVersion == "c1")
        #expect(stats.listenersVersion == nil)
        #expect(stats.clustersRejected == 2 && stats.listenersRejected == 5)
        #expect(stats.starved == ["dns", "web"])
        #expect(stats.warmingClusters == 3 && stats.activeListeners == 6)
    }

    @Test func refusalsAreReadFromADump() throws {
        let dump = """
            {"configs":[{"@type":"x","name":"tcp-1","active_state":{"version_info":"1"}},
            {"name":"tcp-2","error_state":{"details":"cannot bind\\n'[::]:2'","failed_configuration":{}}},{"name":"tcp-3","error_state":{}}]}
            """
        let refusals = try DocumentJSON.decode(EnvoyDump.self, from: Array(dump.utf8)).refusals
        #expect(refusals == ["tcp-2": "cannot bind\\n'[::]:2'", "tcp-3": "refused without a reason"])
        #expect(try DocumentJSON.decode(EnvoyDump.self, from: Array("{}".utf8)).refusals == [:])
    }

    @Test func reasonIsWhatEnvoySaidLast() {
        let line =
            "[2026-11-21 10:42:15.529][15110][critical][main] [source/server.cc:76] error initializing configuration 'validate.json': Didn't find it\n"
        #expect(EnvoyProof.reason("warning line\n" + line) == "Didn't find it")
        #expect(EnvoyProof.reason("") == "")
    }
}

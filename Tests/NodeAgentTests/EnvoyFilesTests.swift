import EnvoyConfig
import NetworkTypes
import NodeDocument
import Testing

@testable import NodeAgent

@Suite struct EnvoyFilesTests {
    let facts = EnvoyHost(hasIPv6: true, memoryBytes: 1 << 30)

    private func files(_ document: RelayDocument, leavingOut omitted: Set<String> = []) throws -> EnvoyFileSet {
        try EnvoyFileSet(EnvoyConfiguration(document.content), on: facts, leavingOut: omitted)
    }

    @Test func everyFileIsThere() throws {
        let document = try sampleDocument()
        let key = try document.keyFile()
        #expect(
            try files(document).files.keys.sorted()
                == [
                    "bootstrap.json", "cds.pb", "launch.json", "lds.pb", "limits.json", "probes.json", "sds/web.json",
                    key.replacing(".key", with: ".crt"), key,
                ])
    }

    @Test func versionsFollowTheContent() throws {
        let document = try sampleDocument()
        let all = try files(document)
        #expect(try files(document) == all)
        let less = try files(document, leavingOut: ["udp-53"])
        #expect(less.listenersVersion != all.listenersVersion)
        #expect(less.clustersVersion == all.clustersVersion)
        let read = try ResourceSet(all.files["lds.pb"] ?? [])
        #expect(read.version == all.listenersVersion && read.resources.map(\.name) == ["udp-53", "tcp-443"])
    }

    @Test func sameFilesAreNoChange() throws {
        let wanted = try files(try sampleDocument())
        #expect(EnvoyFileChanges(from: wanted.files, to: wanted).isEmpty)
    }

    @Test func everyChangeIsSeen() throws {
        let document = try sampleDocument()
        let wanted = try files(document)
        let key = try document.keyFile()
        var current = wanted.files
        current["probes.json"] = []
        current["sds/old.json"] = []
        current[key] = nil
        current["lds.pb"] = nil
        let changes = EnvoyFileChanges(from: current, to: wanted)
        #expect(changes.content == [key, "probes.json"], "a key before what refers to it")
        #expect(changes.listeners && !changes.clusters && !changes.bootstrap)
        #expect(changes.removed == ["sds/old.json"])
        #expect(changes.needsProof)
        #expect(
            changes.words == [
                "the uplinks' probes written", "Envoy's TLS files written: 1", "Envoy's listeners written",
                "Envoy's files removed: 1",
            ])
    }

    @Test func probesAloneNeedNoProof() throws {
        let wanted = try files(try sampleDocument())
        var current = wanted.files
        current["probes.json"] = []
        #expect(!EnvoyFileChanges(from: current, to: wanted).needsProof)
    }

    @Test func clustersThatGoStayUntilNoListenerUsesThem() throws {
        let former = EnvoyConfiguration(try sampleDocument(more: [sampleBinding("old", 80)]).content)
        let new = EnvoyConfiguration(try sampleDocument().content)
        let both = try #require(try EnvoyFileSet.clustersOfBoth(former, new))
        let read = try ResourceSet(both.bytes)
        #expect(read.resources.map(\.name) == ["dns", "web", "old"] && read.version == both.version)
        #expect(try EnvoyFileSet.clustersOfBoth(new, former) == nil)
        #expect(try EnvoyFileSet.clustersOfBoth(nil, new) == nil)
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
            server.state: 0
            nonsense
            """)
        #expect(stats.isLive)
        #expect(stats.clustersVersion == "c1")
        #expect(stats.listenersVersion == nil)
        #expect(stats.clustersRejected == 2 && stats.listenersRejected == 5)
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

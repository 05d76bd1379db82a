import Documents
import EdgeAPI
import ManifestStore
import Testing

/// The examples of the specification as they stand in deploy/samples.
@Suite struct SamplesTests {
    private static let folder = "\(#filePath)".split(separator: "/").dropLast(3).map { "/\($0)" }.joined() + "/deploy/samples"

    private func read(_ name: String) -> ManifestFile { ManifestFile.read("\(Self.folder)/\(name)") }

    @Test(arguments: [
        ("1-one-port.yaml", ["EdgeNode", "PortBinding"]), ("2-tcp-and-udp.yaml", ["PortBinding"]),
        ("3-tls.yaml", ["PortBinding"]),
        ("4-high-availability.yaml", ["EdgeNode", "PortBinding"]),
        ("standalone-services.yaml", ["Service", "Service", "Service"]),
        ("standalone-secrets.yaml", ["Secret", "Secret", "Secret"]),
    ])
    func loadsWithoutProblems(name: String, kinds: [String]) {
        let file = read(name)
        // Git keeps no permission bits, so a checkout's Secret may be readable to all.
        #expect(file.problems.filter { $0.severity == .error } == [])
        #expect(file.manifests.map(\.manifest.kind) == kinds)
    }

    @Test func theFullExampleSpellsTheDefaultsOut() throws {
        guard case .edgeNode(let short)? = read("1-one-port.yaml").manifests.first?.manifest,
            case .edgeNode(var full)? = read("4-high-availability.yaml").manifests.first?.manifest
        else {
            Issue.record("no EdgeNodes")
            return
        }
        #expect(full.spec.uplink.replicas == 3)
        #expect(full.spec.uplink.annotations == ["prometheus.io/scrape": "true"])
        full.spec.uplink = short.spec.uplink
        full.spec.ssh.secretRef.namespace = nil
        full.spec.address = short.spec.address
        #expect(full.spec == short.spec)
    }

    /// All of them in one folder, or applied one after the other: none takes another's name, nor another's VPS, nor its port.
    @Test func standSideBySide() {
        let all = ["1-one-port.yaml", "2-tcp-and-udp.yaml", "3-tls.yaml", "4-high-availability.yaml"].flatMap {
            read($0).manifests.map(\.manifest)
        }
        var names: Set<String> = []
        var addresses: Set<String> = []
        var ports: Set<String> = []
        for manifest in all {
            #expect(names.insert("\(manifest.kind) \(manifest.name)").inserted, "\(manifest.name)")
            if case .edgeNode(let node) = manifest { #expect(addresses.insert("\(node.spec.address)").inserted) }
            guard case .portBinding(let object) = manifest else { continue }
            for binding in object.spec.bindings {
                #expect(ports.insert("\(object.edgeNodeName) \(binding.protocol) \(binding.listenPort)").inserted)
            }
        }
    }

    @Test func everyReferenceOfTheExamplesIsThere() {
        let names = [
            "1-one-port.yaml", "2-tcp-and-udp.yaml", "3-tls.yaml", "4-high-availability.yaml", "standalone-services.yaml",
            "standalone-secrets.yaml",
        ]
        var snapshot: [String: Set<ObjectName>] = [:]
        for placed in names.flatMap({ read($0).manifests }) {
            snapshot[placed.manifest.kind, default: []].insert(placed.manifest.name)
        }
        for case .portBinding(let object) in names.flatMap({ read($0).manifests }).map(\.manifest) {
            #expect(snapshot["EdgeNode"]?.contains(object.edgeNodeName) == true)
            for binding in object.spec.bindings {
                if let secret = binding.tls?.mode.secretRef {
                    #expect(snapshot["Secret"]?.contains(secret.objectName(in: object.metadata)) == true)
                }
                if let service = binding.target.serviceReference {
                    #expect(snapshot["Service"]?.contains(service.objectName(in: object.metadata)) == true)
                }
            }
        }
    }
}

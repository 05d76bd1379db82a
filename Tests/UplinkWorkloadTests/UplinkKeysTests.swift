import Documents
import EdgeAPI
import JSON
import KubernetesAPI
import NetworkTypes
import Sodium
import Testing
import UplinkWorkload

@Suite struct UplinkKeysTests {
    private let names: UplinkNames
    private let key: WireGuardPrivateKey

    init() throws {
        names = UplinkNames(of: try node())
        key = try .generate()
    }

    /// As the Secret holds it.
    private func entry(_ key: WireGuardPrivateKey) -> String { encodeBase64(key.base64File()) }

    private func secret(_ data: [String: String], annotations: [String: String]? = nil) -> FieldNode {
        FieldNode(
            value: [
                "apiVersion": "v1", "kind": "Secret", "type": "Opaque",
                "metadata": [
                    "name": "edge-uplink-keys", "namespace": "tunnel", "uid": "u-1", "resourceVersion": "42",
                    "labels": ["kept": "yes"],
                    "annotations": .texts(annotations ?? names.annotations),
                ],
                "data": .texts(data),
            ])
    }

    private func value(_ keys: UplinkKeys) -> FieldNode? {
        switch keys.change {
        case .create(let value)?, .update(let value)?: FieldNode(value: value)
        case nil: nil
        }
    }

    @Test func theFirstKeysMakeTheSecret() throws {
        let keys = try UplinkKeys(of: names, replicas: 2, pods: [], secret: nil)
        guard case .create(let value)? = keys.change else {
            Issue.record("not created: \(String(describing: keys.change))")
            return
        }
        let secret = try #require(Secret.decode(FieldNode(value: value)).value)
        #expect(secret.metadata.objectName == names.keysSecret)
        #expect(secret.metadata.labels == names.labels)
        #expect(FieldNode(value: value).at("metadata", "annotations")?.texts == names.annotations)
        #expect(secret.metadata.resourceVersion == "")
        #expect(Set(secret.data.keys) == ["priv-0", "priv-1"])
        // The uplink reads each file as wg(8) does.
        for ordinal in [0, 1] {
            var file = try #require(secret.data["priv-\(ordinal)"]).withUnsafeBytes { Array($0) }
            #expect(try WireGuardPrivateKey(consumingBase64: &file) == keys.keys[ordinal])
        }
        #expect(keys.keys[0] != keys.keys[1])
        #expect(try keys.identities().mapValues(\.publicKey)[1] == keys.keys[1]?.publicKey())
    }

    @Test func whatIsRightIsLeftAlone() throws {
        let keys = try UplinkKeys(of: names, replicas: 1, pods: ["edge-uplink-0"], secret: secret(["priv-0": entry(key)]))
        #expect(keys.change == nil)
        #expect(keys.keys == [0: key])
    }

    @Test func scalingUpKeepsTheOldKeys() throws {
        let keys = try UplinkKeys(of: names, replicas: 2, pods: ["edge-uplink-0"], secret: secret(["priv-0": entry(key)]))
        #expect(keys.keys[0] == key)
        #expect(keys.keys.keys.sorted() == [0, 1])
        let new = try #require(value(keys))
        #expect(new.at("data", "priv-0")?.text == entry(key))
        // Only on the version that was read, and with what others put there.
        #expect(new.at("metadata", "resourceVersion")?.text == "42")
        #expect(new.at("metadata", "uid")?.text == "u-1")
        #expect(new.at("metadata", "labels", "kept")?.text == "yes")
        #expect(new.at("metadata", "labels", "app.kubernetes.io/instance")?.text == "edge")
    }

    @Test func aKeyStaysUntilItsPodIsGone() throws {
        let stored = secret(["priv-0": entry(key), "priv-1": entry(try .generate()), "priv-2": entry(try .generate())])
        let during = try UplinkKeys(
            of: names, replicas: 1, pods: ["edge-uplink-0", "edge-uplink-2", "other-uplink-1"], secret: stored)
        #expect(during.keys.keys.sorted() == [0, 2])
        #expect(value(during)?["data"]?.texts.keys.sorted() == ["priv-0", "priv-2"])
        let after = try UplinkKeys(of: names, replicas: 1, pods: ["edge-uplink-0"], secret: stored)
        #expect(value(after)?["data"]?.texts == ["priv-0": entry(key)])
    }

    @Test func aPodWithoutAKeyGetsOneEvenOnItsWayOut() throws {
        let keys = try UplinkKeys(of: names, replicas: 1, pods: ["edge-uplink-1", "edge-uplink-253"], secret: nil)
        #expect(keys.keys.keys.sorted() == [0, 1])
    }

    @Test(arguments: ["", "%%%", "c2hvcnQ=", "AAAA"]) func whatIsNoKeyIsReplaced(_ text: String) throws {
        let keys = try UplinkKeys(of: names, replicas: 1, pods: [], secret: secret(["priv-0": text])) { () throws(SodiumError) in
            key
        }
        #expect(keys.keys == [0: key])
        #expect(value(keys)?["data"]?.texts == ["priv-0": entry(key)])
    }

    @Test func entriesThatAreNoneOfOursStay() throws {
        let stored = secret(["priv-0": entry(key), "note": "eA==", "priv-00": "eA==", "priv-x": "eA==", "priv-9": "eA=="])
        let keys = try UplinkKeys(of: names, replicas: 1, pods: [], secret: stored)
        #expect(value(keys)?["data"]?.texts.keys.sorted() == ["note", "priv-0", "priv-00", "priv-x"])
    }

    @Test func anothersSecretIsNeverTouched() throws {
        for (annotations, owner) in [([:], nil), ([UplinkNames.edgeNodeAnnotation: "other/edge"], "other/edge")]
            as [([String: String], String?)]
        {
            let error = #expect(throws: UplinkWorkloadError.self) {
                try UplinkKeys(of: names, replicas: 1, pods: [], secret: secret([:], annotations: annotations))
            }
            #expect(error == .nameTaken(kind: "Secret", names.keysSecret, owner: owner))
        }
    }

    @Test func noTextTellsAKey() throws {
        let keys = try UplinkKeys(of: names, replicas: 1, pods: [], secret: nil) { () throws(SodiumError) in key }
        let text = String(decoding: key.base64File().dropLast(), as: UTF8.self)
        for shown in ["\(keys)", String(reflecting: keys), String(describing: keys.change)] {
            #expect(!shown.contains(text) && !shown.contains(entry(key)))
        }
    }
}

import JSON
import NetworkTypes
import Sodium
import UplinkWorkload

/// What the pods of an EdgeNode's uplinks are still to be told: that their volumes have changed.
struct OwedWords: Equatable, Sendable {
    enum Word: Hashable, Sendable {
        case document(ordinal: Int)
        case key(ordinal: Int, WireGuardPublicKey)

        var ordinal: Int {
            switch self {
            case .document(let ordinal), .key(let ordinal, _): ordinal
            }
        }
    }

    /// Ordinals of the pods that do not know the document yet.
    var documents: Set<Int> = []
    /// New keys, by ordinal.
    var keys: [Int: WireGuardPublicKey] = [:]

    /// - Parameter document: the hash of what is there now; nil while it is not to be told.
    func patches(document: SHA256Digest?) -> [Word: FieldValue] {
        var patches: [Word: FieldValue] = [:]
        if let document {
            for ordinal in documents { patches[.document(ordinal: ordinal)] = UplinkObjects.podPatch(hash: document) }
        }
        for (ordinal, key) in keys { patches[.key(ordinal: ordinal, key)] = UplinkObjects.podPatch(key: key) }
        return patches
    }

    mutating func remove(_ word: Word) {
        switch word {
        case .document(let ordinal): documents.remove(ordinal)
        // Another may have come meanwhile.
        case .key(let ordinal, let key): if keys[ordinal] == key { keys[ordinal] = nil }
        }
    }
}

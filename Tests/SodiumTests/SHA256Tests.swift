import NetworkTypes
import Sodium
import Testing

@Suite struct SHA256Tests {
    /// FIPS 180-4's examples, and NIST's of a million `a`.
    @Test(arguments: [
        ("", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"),
        ("abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"),
        (
            "abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
            "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1"
        ),
        (String(repeating: "a", count: 1_000_000), "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0"),
    ])
    func matchesTheStandard(text: String, digest: String) {
        #expect(SHA256.digest(of: text).description == digest)
    }

    @Test func isTheSameInPieces() {
        var hash = SHA256()
        for piece in ["", "a", "b", "", "c"] { hash.update(Array(piece.utf8)) }
        #expect(hash.finish() == SHA256.digest(of: "abc"))
    }

    @Test func goesOnAfterACopyIsFinished() {
        var hash = SHA256()
        hash.update(Array("ab".utf8))
        let copy = hash
        #expect(copy.finish() == SHA256.digest(of: "ab"))
        hash.update(Array("c".utf8))
        #expect(hash.finish() == SHA256.digest(of: "abc"))
    }

    @Test func readsEitherCaseAndWritesLower() throws {
        let text = SHA256.digest(of: "abc").description
        #expect(try SHA256Digest(parsing: text.uppercased()).description == text)
    }

    @Test(arguments: [
        "", "ab", String(repeating: "g", count: 64), String(repeating: "a", count: 63), String(repeating: "a", count: 65),
        " " + String(repeating: "a", count: 63), String(repeating: "é", count: 32),
    ])
    func refusesWhatIsNone(text: String) {
        #expect(throws: InvalidValue.self) { try SHA256Digest(parsing: text) }
    }
}

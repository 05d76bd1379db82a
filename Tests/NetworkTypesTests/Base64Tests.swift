import Fixtures
import NetworkTypes
import Testing

@Suite struct Base64Tests {
    /// RFC 4648, section 10.
    @Test(arguments: [
        ("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foob", "Zm9vYg=="), ("fooba", "Zm9vYmE="),
        ("foobar", "Zm9vYmFy"),
    ])
    func matchesTheRFC(plain: String, encoded: String) {
        #expect(encodeBase64(Array(plain.utf8)) == encoded)
        #expect(decodeBase64(encoded) == Array(plain.utf8))
    }

    @Test(arguments: [
        "Z", "Zg", "Zg=", "Zg===", "=", "==", "====", "Z===", "Zm9v====", "Zg==Zg==", "Zm=v", "Zm9v\n", " Zm9v", "Zm 9", "Zm9-",
        "Zm9_", "Zm9é", "Zm9\u{0}",
        // unused bits that are not zero
        "Zh==", "Zm9=",
    ])
    func refusesWhatIsNotStrict(text: String) {
        #expect(decodeBase64(text) == nil)
    }

    @Test func readsBackWhatItWrites() {
        var random = SeededRandom(seed: 4)
        for length in 0..<200 {
            let bytes = random.bytes(length)
            #expect(decodeBase64(encodeBase64(bytes)) == bytes)
        }
    }

    /// One text for one value: whatever is accepted is what would be written.
    @Test func acceptsOnlyWhatItWouldWrite() {
        var random = SeededRandom(seed: 5)
        var accepted = 0
        for _ in 0..<5000 {
            let text = random.text(of: "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/==", limit: 8)
            guard let bytes = decodeBase64(text) else { continue }
            accepted += 1
            #expect(encodeBase64(bytes) == text)
        }
        #expect(accepted > 500)
    }

    @Test func readsWireGuardKeys() throws {
        let text = "hSDwCYkwp1R0i33ctD73Wg2/Og0mOBr066SpjqqbTmo="
        let key = try WireGuardPublicKey(parsing: text)
        #expect(key.description == text)
        #expect(WireGuardPublicKey(bytes: key.bytes) == key)
    }

    @Test(arguments: [
        "", "hSDwCYkwp1R0i33ctD73Wg2/Og0mOBr066SpjqqbTmo", "hSDwCYkwp1R0i33ctD73Wg2/Og0mOBr066SpjqqbTmo=\n",
        "hSDwCYkwp1R0i33ctD73Wg2/Og0mOBr066SpjqqbTm==",
        "hSDwCYkwp1R0i33ctD73Wg2/Og0mOBr066SpjqqbTmp=", "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
    ])
    func refusesWhatIsNoWireGuardKey(text: String) {
        #expect(WireGuardPublicKey(text) == nil)
    }
}

import NetworkTypes
import Sodium
import Testing

@Suite struct WireGuardPrivateKeyTests {
    private func key(_ text: String) throws -> WireGuardPrivateKey {
        var bytes = Array(text.utf8)
        return try WireGuardPrivateKey(consumingBase64: &bytes)
    }

    /// What `wg pubkey` answers. The first is Alice's pair of RFC 7748 (section 6.1), then two of `wg genkey`, then unclamped ones.
    @Test(arguments: [
        ("dwdtCnMYpX08FsFyUbJmRd9ML4frwJkqsXf7pR25LCo=", "hSDwCYkwp1R0i33ctD73Wg2/Og0mOBr066SpjqqbTmo="),
        ("CM0pqcXBt1XwLg8FjQRwe3uTJ+KIPKhlhFBpRgZkrlY=", "hmWT/4EEk2+7NDsRM6ObKzYJnlk+8sLgeMeV00LzUV0="),
        ("8HcCuFdKJfbdx7H5lBAvLw43pI8d70T4pkgaecHA7V4=", "Hfl+ofJ/pNhGJAlqaTPqKVYmUwGmMhqHcJAWLLnWPX0="),
        ("AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=", "L+V9o0fNYkMVKNqsX7spBzD/9oSvxM/C7ZCZX1jLO3Q="),
        ("//////////////////////////////////////////8=", "hHwNLDdSNPNl5mCVUYejc1oPdhPRYJ06ak2MU66qWiI="),
    ])
    func matchesWgPubkey(privateKey: String, publicKey: String) throws {
        #expect(try key(privateKey).publicKey().description == publicKey)
    }

    @Test func isClamped() throws {
        let unclamped = try key("//////////////////////////////////////////8=")
        let made = try WireGuardPrivateKey.generate()
        for key in [unclamped, made] {
            key.secret.withUnsafeBytes { bytes in
                #expect(bytes.count == 32)
                #expect(bytes[0] & 7 == 0)
                #expect(bytes[31] & 0xC0 == 0x40)
            }
        }
    }

    @Test func isMadeAnewEachTime() throws {
        let a = try WireGuardPrivateKey.generate()
        let b = try WireGuardPrivateKey.generate()
        #expect(a != b)
        #expect(try a.publicKey() != b.publicKey())
    }

    @Test func readsBackItsFile() throws {
        let made = try WireGuardPrivateKey.generate()
        var file = made.base64File()
        #expect(file.count == 45)
        #expect(file.last == 0x0A)
        #expect(try WireGuardPrivateKey(consumingBase64: &file) == made)
        #expect(file.isEmpty)
    }

    @Test(arguments: ["  \n\tdwdtCnMYpX08FsFyUbJmRd9ML4frwJkqsXf7pR25LCo=\r\n", "dwdtCnMYpX08FsFyUbJmRd9ML4frwJkqsXf7pR25LCo="])
    func allowsWhiteSpaceAround(text: String) throws {
        #expect(try key(text).publicKey().description == "hSDwCYkwp1R0i33ctD73Wg2/Og0mOBr066SpjqqbTmo=")
    }

    @Test(arguments: [
        "", "\n", "dwdtCnMYpX08FsFyUbJmRd9ML4frwJkqsXf7pR25LCo", "dwdtCnMYpX08FsFyUbJmRd9ML4frwJkqsXf7pR25LC==",
        "dwdtCnMYpX08FsFyUbJmRd9ML4frwJkqsXf7pR25LCo=x", "dwdtCnMYpX08FsFyUbJmRd9ML4frwJkqsXf7pR25LCoA", "x",
        "dwdtCnMYpX08FsFyUbJmRd9ML4frwJkqsXf7pR25L\u{0}o=",
        "dwdtCnMYpX08FsFyUbJmRd9ML4frwJkqsXf7pR25LCo=\ndwdtCnMYpX08FsFyUbJmRd9ML4frwJkqsXf7pR25LCo=\n",
    ])
    func refusesWhatIsNoKeyAndNeverRepeatsIt(text: String) {
        var bytes = Array(text.utf8)
        do {
            _ = try WireGuardPrivateKey(consumingBase64: &bytes)
            Issue.record("accepted")
        } catch {
            #expect(!"\(error)".contains("dwdt"))
            #expect("\(error)".contains("want 32 bytes as 44 characters of base64"))
        }
        #expect(bytes.isEmpty)
    }

    @Test func isNeverPrinted() throws {
        let text = "dwdtCnMYpX08FsFyUbJmRd9ML4frwJkqsXf7pR25LCo="
        let key = try key(text)
        var dumped = ""
        dump(key, to: &dumped)
        for shown in ["\(key)", String(reflecting: key), "\([key])", dumped] {
            #expect(!shown.contains("dwdt"))
            #expect(!shown.contains("119"))  // 0x77, its first byte
            #expect(!shown.isEmpty)
        }
    }
}

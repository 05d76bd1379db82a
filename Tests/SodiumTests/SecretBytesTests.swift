import Sodium
import Testing

@Suite struct SecretBytesTests {
    @Test func lendsWhatItCopied() throws {
        let secret = try SecretBytes(copying: Array("hunter2".utf8))
        #expect(secret.count == 7)
        #expect(secret.withUnsafeBytes { Array($0) } == Array("hunter2".utf8))
        #expect(secret.withUnsafePointer { $0[6] } == 0x32)
    }

    @Test func emptiesWhatItConsumes() throws {
        var bytes = Array("hunter2".utf8)
        let secret = try SecretBytes(consuming: &bytes)
        #expect(bytes.isEmpty)
        #expect(secret.count == 7)
    }

    @Test func isEqualByContent() throws {
        let one = try SecretBytes(copying: [1, 2, 3])
        #expect(try one == SecretBytes(copying: [1, 2, 3]))
        #expect(try one != SecretBytes(copying: [1, 2, 4]))
        #expect(try one != SecretBytes(copying: [1, 2]))
        #expect(try SecretBytes(copying: []) == SecretBytes(copying: []))
    }

    @Test func mayBeEmpty() throws {
        let empty = try SecretBytes(copying: [])
        #expect(empty.count == 0)
        #expect(empty.withUnsafeBytes { $0.count } == 0)
    }

    @Test func isRandomWhenAsked() throws {
        #expect(try SecretBytes.random(count: 32) != SecretBytes.random(count: 32))
    }

    @Test func isNeverPrinted() throws {
        let secret = try SecretBytes(copying: Array("hunter2".utf8))
        var dumped = ""
        dump(["password": secret], to: &dumped)
        for shown in ["\(secret)", String(reflecting: secret), "\(["password": secret])", dumped] {
            #expect(shown.contains("<7 secret bytes>"))
            #expect(!shown.contains("hunter2"))
            #expect(!shown.contains("104"))  // h
        }
    }

    @Test func zeroesInPlace() {
        var bytes: [UInt8] = [1, 2, 3]
        zero(&bytes)
        #expect(bytes.isEmpty)
    }
}

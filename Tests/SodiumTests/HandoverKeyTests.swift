import Testing

@testable import Sodium

@Suite struct HandoverKeyTests {
    private let message = Array("what an uplink is handed".utf8)

    @Test func opensWhatItSealed() throws {
        let key = try HandoverKey.generate()
        let sealed = try key.seal(message)
        #expect(sealed.count == message.count + 104)
        #expect(try key.opener().open(sealed) == message)
        #expect(try key.opener().open(key.seal([])) == [])
    }

    /// No nonce is used for two messages, and an unchanged document is no change on the VPS.
    @Test func sealsTheSameTheSameWayAndAnotherByAnotherNonce() throws {
        let key = try HandoverKey.generate()
        #expect(try key.seal(message) == key.seal(message))
        #expect(try key.seal(message).prefix(24) != key.seal(message + [0]).prefix(24))
    }

    @Test func opensNothingThatWasAltered() throws {
        let key = try HandoverKey.generate()
        let (sealed, opener) = (try key.seal(message), try key.opener())
        for index in sealed.indices {
            var altered = sealed
            altered[index] ^= 1
            #expect(opener.open(altered) == nil)
        }
        for count in 0..<sealed.count { #expect(opener.open(Array(sealed.prefix(count))) == nil) }
        #expect(opener.open(sealed + [0]) == nil)
    }

    /// Another uplink has the secret of the box; only the controller signs.
    @Test func whoOpensCannotSeal() throws {
        let (key, other) = (try HandoverKey.generate(), try HandoverKey.generate())
        let opener = try key.opener()
        #expect(opener.open(try other.seal(message)) == nil)
        let forged = HandoverOpener(signer: try other.opener().signer, secret: opener.secret)
        #expect(try forged?.open(key.seal(message)) == nil)
    }

    @Test func showsNothingOfItself() throws {
        #expect("\(try HandoverKey.generate())" == "<handover key>")
        #expect(HandoverKey(secret: try .random(count: 31)) == nil)
    }
}

import Testing

@testable import UplinkAgent

@Suite struct PathMTUTests {
    /// A path that carries `width` bytes and loses what is longer; `loses` tells of the nth probe.
    private struct Path {
        var mtu: PathMTU
        var width: Int
        var now = Duration.zero
        var asked: [Int] = []
        var isConnected = true
        var loses: @Sendable (Int) -> Bool = { _ in false }

        init(limit: Int, width: Int) {
            mtu = PathMTU(limit: limit)
            self.width = width
        }

        mutating func pass(_ seconds: Int) {
            for _ in 0..<seconds {
                let arrived = asked.last.map { $0 <= width && !loses(asked.count) } ?? false
                if let size = mtu.next(now: now, isConnected: isConnected, arrived: arrived) { asked.append(size) }
                now += .seconds(1)
            }
        }
    }

    @Test func aPathThatCarriesAllCostsAPacketAMinute() {
        var path = Path(limit: 1420, width: 1420)
        path.pass(600)
        #expect(Set(path.asked) == [1420])
        #expect(path.asked.count == 10)
        #expect(path.mtu.found == nil)
    }

    @Test(arguments: [600, 1279, 1372, 1400, 1411])
    func findsWhatANarrowOneCarries(width: Int) throws {
        var path = Path(limit: 1420, width: width)
        path.pass(60)
        let found = try #require(path.mtu.found)
        #expect(found <= width && found > width - PathMTU.grain)
        // No longer one is sent again.
        let asked = path.asked.count
        path.pass(600)
        #expect(path.asked.dropFirst(asked).allSatisfy { $0 == found })
    }

    @Test func goesNoLowerThanAnyNetworkDoes() {
        var path = Path(limit: 1420, width: 200)
        path.pass(60)
        #expect(path.mtu.found == PathMTU.least)
    }

    @Test func losesNoWidthToLostPackets() {
        var path = Path(limit: 1420, width: 1420)
        path.loses = { $0 % 3 != 0 }
        path.pass(3600)
        #expect(path.mtu.found == nil)
    }

    @Test func saysNothingWhereProbesAreNotAnswered() {
        var path = Path(limit: 1420, width: 0)
        path.pass(600)
        #expect(path.mtu.found == nil)
        // Three of the full size and three small ones, then a rest.
        #expect(path.asked.count <= 6 * 10)
    }

    @Test func aPathThatBreaksDownDuringTheSearchIsNotNarrow() {
        for second in 5..<40 {
            var path = Path(limit: 1420, width: 1372)
            path.pass(second)
            let before = path.mtu.found
            path.width = 0
            path.pass(120)
            #expect(path.mtu.found == before)
        }
    }

    @Test func withoutASessionNothingIsAsked() {
        var path = Path(limit: 1420, width: 1372)
        path.pass(5)
        let asked = path.asked.count
        path.isConnected = false
        path.pass(100)
        #expect(path.asked.count == asked)
        path.isConnected = true
        path.pass(60)
        #expect(path.mtu.found != nil)
    }

    @Test func findsThatAPathGotNarrowerStill() throws {
        var path = Path(limit: 1420, width: 1400)
        path.pass(60)
        path.width = 1300
        path.pass(180)
        let found = try #require(path.mtu.found)
        #expect(found <= 1300 && found > 1290)
        path.mtu.begin(limit: 1420)
        #expect(path.mtu.found == nil)
    }
}

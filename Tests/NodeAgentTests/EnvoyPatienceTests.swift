import Testing

@testable import NodeAgent

@Suite struct EnvoyPatienceTests {
    private let start = ContinuousClock.now

    private func made(_ usual: Duration = .seconds(6)) -> EnvoyPatience { EnvoyPatience(usual: usual, from: start) }

    @Test("One that answers at once has the usual time to take its files")
    func answers() {
        var patience = made()
        patience.answered(at: start + .milliseconds(100))
        patience.answered(at: start + .seconds(5))
        #expect(!patience.isOver(at: start + .seconds(6)))
        #expect(patience.isOver(at: start + .milliseconds(6200)))
    }

    @Test("A slow host: whoever took 12 s to answer has 24 more")
    func slow() {
        var patience = made()
        for _ in 0..<3 { patience.silent(newest: nil) }
        #expect(!patience.isOver(at: start + .seconds(10)))
        patience.silent(newest: 7)
        #expect(!patience.isOver(at: start + .seconds(30)))
        patience.answered(at: start + .seconds(12))
        #expect(!patience.isOver(at: start + .seconds(36)))
        #expect(patience.isOver(at: start + .seconds(37)))
    }

    @Test("A main thread that is busy for a while is not dead")
    func busy() {
        var patience = made(.seconds(3))
        patience.answered(at: start + .milliseconds(10))
        patience.silent(newest: 7)
        #expect(!patience.isOver(at: start + .seconds(5)))
        #expect(patience.isOver(at: start + .seconds(61)))
    }

    @Test("Envoys that end and are started again get no more than the usual time")
    func crashes() {
        var patience = made()
        patience.silent(newest: 7)
        patience.silent(newest: 8)
        #expect(!patience.isOver(at: start + .seconds(5)))
        #expect(patience.isOver(at: start + .seconds(7)))
    }

    @Test("Where none is ever started it ends too")
    func unborn() {
        var patience = made()
        patience.silent(newest: nil)
        #expect(!patience.isOver(at: start + .seconds(19)))
        #expect(patience.isOver(at: start + .seconds(21)))
    }
}

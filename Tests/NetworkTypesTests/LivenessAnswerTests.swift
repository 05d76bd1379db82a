import NetworkTypes
import Testing

@Suite struct LivenessAnswerTests {
    @Test(arguments: [
        (LivenessAnswer(), "alive"), (LivenessAnswer(complaint: "no handshake"), "alive\nno handshake"),
        (LivenessAnswer(problem: "it hangs"), "it hangs"), (LivenessAnswer(problem: "it hangs", complaint: "c"), "it hangs\nc"),
    ])
    func whatIsWrittenIsRead(answer: LivenessAnswer, text: String) {
        #expect(answer.text == text)
        #expect(LivenessAnswer(parsing: text) == answer)
        #expect(LivenessAnswer(parsing: text + "\n") == answer)
    }

    @Test(
        arguments: [
            ("", "it says nothing", nil), ("alive\n\n", nil, nil), ("Alive", "Alive", nil),
            ("<html>\nyes\nmore", "<html>", "yes"),
        ] as [(String, String?, String?)])
    func whateverElseIsAProblem(text: String, problem: String?, complaint: String?) {
        #expect(LivenessAnswer(parsing: text) == LivenessAnswer(problem: problem, complaint: complaint))
    }
}

/// What an uplink answers to whether it lives, at `/healthz` and to `uplink healthz`: a line, and one more where something holds it up.
public struct LivenessAnswer: Hashable, Sendable {
    private static let alive = "alive"

    /// Why it does not live; nil when it does.
    public var problem: String?
    /// What holds it up, such as a network of the host that overlaps the tunnel's; nil for nothing.
    public var complaint: String?

    public init(problem: String? = nil, complaint: String? = nil) {
        self.problem = problem
        self.complaint = complaint
    }

    /// Reads what `text` wrote. Whatever else it is given is taken for a problem.
    public init(parsing text: some StringProtocol) {
        let lines = text.split(separator: "\n", maxSplits: 2, omittingEmptySubsequences: false)
        let first = lines.first.map { String($0) } ?? ""
        problem = first == Self.alive ? nil : first.isEmpty ? "it says nothing" : first
        complaint = lines.dropFirst().first.flatMap { $0.isEmpty ? nil : String($0) }
    }

    /// Without a newline at the end.
    public var text: String { (problem ?? Self.alive) + (complaint.map { "\n\($0)" } ?? "") }
}

/// Which build of the agent this is.
public enum AgentBuild {
    /// What an agent says that was not installed from a bundle.
    public static let unknown = "development"

    /// The line in the `BUILD` file beside the agent, which the bundle script writes.
    public static func current(_ paths: HostPaths) -> String {
        do throws(AgentError) {
            guard let line = try readLine(of: paths.build), !line.isEmpty else { return unknown }
            return line
        } catch {
            return unknown
        }
    }
}

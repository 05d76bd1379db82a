import ArgumentParser
import Documents
import EdgeAPI
import FoundationEssentials
import ManifestStore

struct ValidateCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "validate", abstract: "Checks manifests and touches nothing.",
        discussion: """
            Prints every error with file, line and field, and ends with status 1 when there is one. Keys, known hosts and \
            certificates are read as the controller reads them.
            """)

    @Argument(help: "YAML or JSON files.")
    var files: [String]

    @OptionGroup var targets: TargetOptions

    func run() throws {
        var found: [(file: String, placed: PlacedManifest)] = []
        var errors = 0
        for path in files {
            let file = ManifestFile.read(path)
            found += file.manifests.map { (path, $0) }
            for problem in file.problems {
                print(problem)
                if problem.severity == .error { errors += 1 }
            }
        }
        let manifests = found.map(\.placed.manifest)
        let problems = secretProblems(manifests, now: Date()) + targetProblems(manifests, policy: try targets.policy())
        for (index, message) in problems {
            let (file, placed) = found[index]
            print(
                ManifestProblem(
                    file: file, line: placed.position?.line, object: "\(placed.manifest.kind) \(placed.manifest.name)",
                    message: message))
            errors += 1
        }
        print("\(found.count) objects in \(files.count) files, \(errors) errors")
        if errors > 0 { throw ExitCode(1) }
    }
}

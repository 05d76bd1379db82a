import ArgumentParser
import EdgeAPI
import ManifestStore

struct ValidateCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "validate", abstract: "Checks manifests and touches nothing.",
        discussion: "Prints every error with file, line and field, and ends with status 1 when there is one.")

    @Argument(help: "YAML or JSON files.")
    var files: [String]

    func run() throws {
        var objects = 0
        var errors = 0
        for path in files {
            let file = ManifestFile.read(path)
            objects += file.manifests.count
            for problem in file.problems {
                print(problem)
                if problem.severity == .error { errors += 1 }
            }
        }
        print("\(objects) objects in \(files.count) files, \(errors) errors")
        if errors > 0 { throw ExitCode(1) }
    }
}

import Documents
import EdgeAPI
import Foundation
import JSON
import KubernetesAPI
import NetworkTypes
import TestNetwork
import TestPrograms
import UplinkWorkload

/// A pod of the uplinks' StatefulSet in a network namespace, as a kubelet and containerd would run it: the container that the
/// pod template asks for, by a real OCI runtime, with the runtime's default seccomp profile, device rules and read-only paths.
final class PodSandbox: Sendable {
    let process: RunningProgram
    private let folder: String
    private let name: String
    /// Whom the template names: probes run as the container does.
    private let user: String

    /// Devices that containerd and CRI-O let every container use, as runc (`AllowedDevices` of its specconv) does.
    enum Devices {
        case usual
        /// As crun alone, and runc 1.2.0 to 1.2.3: nothing but null, zero and their like.
        case withoutTun
    }

    /// - Parameter volumes: what is mounted, by the volume's name in the template.
    init(
        of objects: UplinkObjects, ordinal: Int = 0, in namespace: TestNamespace, volumes: [String: String],
        devices: Devices = .usual
    )
        throws
    {
        folder = try run("mktemp", "-d").trimmingCharacters(in: .newlines)
        name = "tidegate-\(getpid())-\(URL(filePath: folder).lastPathComponent)"
        let program = URL(fileURLWithPath: CommandLine.arguments[0]).deletingLastPathComponent().appending(path: "uplink").path
        try run("mkdir", "\(folder)/rootfs", "\(folder)/empty")
        for file in [program, "/usr/bin/wireguard-go"] { try Self.copy(file, to: "\(folder)/rootfs") }
        try run("cp", try shippedWireGuardGo(), "\(folder)/rootfs/usr/bin/wireguard-go")
        let template = try Self.part(of: objects.workload().first { $0.resource == .statefulSets }?.value, "spec", "template")
        let context = template["spec"]?["containers"]?.items?.first?["securityContext"]
        user = "\(context?["runAsUser"]?.integer ?? 0):\(context?["runAsGroup"]?.integer ?? 0)"
        let pod = Pod(
            template: template, name: objects.names.pod(ordinal: ordinal).name, program: program, network: namespace.name,
            volumes: volumes.merging(["wireguard": "\(folder)/empty"]) { $1 }, devices: devices)
        try Data(pod.config().json.utf8).write(to: URL(fileURLWithPath: "\(folder)/config.json"))
        // crun takes no mixture of both cgroup versions, which this machine may have; it sees the older alone.
        let script = "umount /sys/fs/cgroup/unified 2>/dev/null; exec \"$0\" \"$@\""
        process = try RunningProgram(
            [
                "unshare", "--mount", "sh", "-c", script, "crun", "--root", "\(folder)/state", "--cgroup-manager", "cgroupfs",
                "run",
            ]
                + ["--bundle", folder, name])
    }

    /// Runs a command in the container, as an exec probe does.
    func execute(_ command: [String]) throws -> String {
        let script = "umount /sys/fs/cgroup/unified 2>/dev/null; exec \"$0\" \"$@\""
        return try run(
            [
                "unshare", "--mount", "sh", "-c", script, "crun", "--root", "\(folder)/state", "--cgroup-manager", "cgroupfs",
                "exec", "--user", user, name,
            ]
                + command)
    }

    deinit {
        let script = "umount /sys/fs/cgroup/unified 2>/dev/null; crun --root \(folder)/state delete --force \(name)"
        _ = try? run("unshare", "--mount", "sh", "-c", script)
        _ = try? run("rm", "-rf", folder)
    }

    /// A program and the libraries it is linked with, where they are on this machine.
    private static func copy(_ program: String, to root: String) throws {
        let words = try run("ldd", program).split { $0 == " " || $0 == "\n" || $0 == "\t" }
        try run(["cp", "--dereference", "--parents", program] + words.filter { $0.hasPrefix("/") }.map(String.init) + [root])
    }

    static func part(of value: FieldValue?, _ path: String...) throws -> FieldNode {
        let node = path.reduce(value.map { FieldNode(value: $0) }) { $0?[$1] }
        guard let node else { throw LabFailure(description: "no \(path) in \(value?.json ?? "nothing")") }
        return node
    }
}

/// What a kubelet and a runtime make of a pod template: an OCI runtime's config.json.
private struct Pod {
    let template: FieldNode
    let name: String
    let program: String
    let network: String
    let volumes: [String: String]
    let devices: PodSandbox.Devices

    func config() throws -> FieldValue {
        guard let container = template["spec"]?["containers"]?.items?.first, let context = container["securityContext"] else {
            throw LabFailure(description: "no container with a securityContext")
        }
        guard context["capabilities"]?["drop"]?.items?.map(\.text) == ["ALL"] else {
            throw LabFailure(description: "want all capabilities dropped")
        }
        let capabilities = (context["capabilities"]?["add"]?.items ?? []).compactMap { $0.text.map { "CAP_\($0)" } }
        let granted = FieldValue.array(capabilities.map { .string($0) })
        let arguments = [program] + (container["args"]?.items ?? []).compactMap(\.text)
        return [
            "ociVersion": "1.0.2",
            "hostname": .string(name),
            "root": ["path": "rootfs", "readonly": .bool(context["readOnlyRootFilesystem"]?.bool == true)],
            "process": [
                "args": .array(arguments.map { .string($0) }),
                "env": .array(environment(container).map { .string($0) }),
                "cwd": "/",
                "user": [
                    "uid": .integer(context["runAsUser"]?.integer ?? 0), "gid": .integer(context["runAsGroup"]?.integer ?? 0),
                ],
                "noNewPrivileges": .bool(context["allowPrivilegeEscalation"]?.bool == false),
                "capabilities": ["bounding": granted, "effective": granted, "permitted": granted],
            ],
            "mounts": .array(Self.usualMounts + (try mounts(container))),
            "linux": [
                "namespaces": [
                    ["type": "pid"], ["type": "ipc"], ["type": "uts"], ["type": "mount"],
                    ["type": "network", "path": .string("/run/netns/\(network)")],
                ],
                "resources": ["devices": .array(deviceRules)],
                "readonlyPaths": ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"],
                "maskedPaths": ["/proc/kcore", "/proc/keys", "/proc/timer_list", "/sys/firmware"],
                "seccomp": try Seccomp.runtimeDefault(capabilities: capabilities),
            ],
        ]
    }

    private func environment(_ container: FieldNode) -> [String] {
        let given = (container["env"]?.items ?? []).compactMap { entry -> String? in
            guard let key = entry["name"]?.text else { return nil }
            if entry["valueFrom"]?["fieldRef"]?["fieldPath"]?.text == "metadata.name" { return "\(key)=\(name)" }
            return entry["value"]?.text.map { "\(key)=\($0)" }
        }
        return ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"] + given
    }

    /// As runc's and containerd's default specs have them.
    private static let usualMounts: [FieldValue] = [
        ["destination": "/proc", "type": "proc", "source": "proc", "options": ["nosuid", "noexec", "nodev"]],
        [
            "destination": "/dev", "type": "tmpfs", "source": "tmpfs",
            "options": ["nosuid", "strictatime", "mode=755", "size=65536k"],
        ],
        ["destination": "/sys", "type": "sysfs", "source": "sysfs", "options": ["nosuid", "noexec", "nodev", "ro"]],
    ]

    private func mounts(_ container: FieldNode) throws -> [FieldValue] {
        try (container["volumeMounts"]?.items ?? []).map { mount in
            guard let path = mount["mountPath"]?.text, let source = mount["name"]?.text.flatMap({ volumes[$0] }) else {
                throw LabFailure(description: "no volume for \(mount)")
            }
            return [
                "destination": .string(path), "type": "bind", "source": .string(source),
                "options": ["rbind", "rprivate", mount["readOnly"]?.bool == true ? "ro" : "rw"],
            ]
        }
    }

    private var deviceRules: [FieldValue] {
        let none: FieldValue = ["allow": false, "access": "rwm"]
        let tun: FieldValue = ["allow": true, "type": "c", "major": 10, "minor": 200, "access": "rwm"]
        return devices == .usual ? [none, tun] : [none]
    }
}

/// The profile that runtimes have by default, as the package golang-github-containers-common brings it.
private enum Seccomp {
    static func runtimeDefault(capabilities: [String]) throws -> FieldValue {
        let profile = try FieldNode(json: Array(try Data(contentsOf: URL(fileURLWithPath: "/usr/share/containers/seccomp.json"))))
        let rules = (profile["syscalls"]?.items ?? []).filter { rule in
            holds(rule["includes"], true, capabilities) && holds(rule["excludes"], false, capabilities)
        }
        return [
            "defaultAction": "SCMP_ACT_ERRNO", "defaultErrnoRet": 38,
            "architectures": ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"],
            "syscalls": .array(
                try rules.map { rule in
                    var fields: FieldMembers = [:]
                    for key in ["names", "action", "args", "errnoRet"] {
                        guard let node = rule[key], node.content != .null else { continue }
                        if key == "args", node.items?.isEmpty == true { continue }
                        fields[key] = try value(node)
                    }
                    return .object(fields)
                }),
        ]
    }

    /// Whether a rule's condition on capabilities and architecture is met, or for `excludes` is not.
    private static func holds(_ condition: FieldNode?, _ wanted: Bool, _ capabilities: [String]) -> Bool {
        func met(_ key: String, _ have: [String]) -> Bool? {
            guard let needed = condition?[key]?.items?.compactMap(\.text), !needed.isEmpty else { return nil }
            return wanted ? needed.allSatisfy(have.contains) : !needed.contains(where: have.contains)
        }
        return met("caps", capabilities) != false && met("arches", ["amd64", "x86", "x32"]) != false
    }

    private static func value(_ node: FieldNode) throws -> FieldValue {
        switch node.content {
        case .string(let text): .string(text)
        case .integer(let number): .integer(number)
        case .sequence(let items): .array(try items.map(value))
        case .mapping(let entries): .object(FieldMembers(try entries.map { (key: $0.key, value: try value($0.value)) }))
        default: throw LabFailure(description: "the seccomp profile holds \(node.content)")
        }
    }
}

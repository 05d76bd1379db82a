"""A container of a pod: what its fields ask for, as one specification for the sandbox; and its life as a process."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from lab import paths

from .images import Image
from .system import CAPABILITIES

# containerd's default set (oci.WithDefaultUnixCaps).
_DEFAULT_CAPABILITIES = frozenset((
    "CHOWN", "DAC_OVERRIDE", "FSETID", "FOWNER", "MKNOD", "NET_RAW", "SETGID", "SETUID", "SETFCAP", "SETPCAP", "NET_BIND_SERVICE",
    "SYS_CHROOT", "KILL", "AUDIT_WRITE"))
_REFERENCE = re.compile(r"\$\$|\$\(([-._a-zA-Z][-._a-zA-Z0-9]*)\)")

Manifest = dict[str, Any]


class CannotStart(Exception):
    """The pod's fields cannot be had; the reason is what the container's state says, as `CreateContainerConfigError`."""

    def __init__(self, reason: str, message: str):
        super().__init__(message)
        self.reason = reason


def expanded(text: str, environment: dict[str, str]) -> str:
    """`$(NAME)` by its value, `$$` by `$`; an unknown name stays as it is (kubernetes' third_party/forked/golang/expansion)."""
    return _REFERENCE.sub(lambda found: "$" if found[0] == "$$" else environment.get(found[1], found[0]), text)


def field(pod: Manifest, path: str) -> str:
    """A field of the downward API: metadata.name, status.podIP, metadata.labels['x'], …"""
    found = re.fullmatch(r"metadata\.(labels|annotations)\['(.+)'\]", path)
    if found:
        return pod["metadata"].get(found[1], {}).get(found[2], "")
    if path in ("metadata.labels", "metadata.annotations"):
        values = pod["metadata"].get(path.partition(".")[2], {})
        return "\n".join(f"{key}={json.dumps(values[key])}" for key in sorted(values))
    value: Any = pod
    for part in path.split("."):
        value = value.get(part, "") if isinstance(value, dict) else ""
    if isinstance(value, dict):
        raise CannotStart("CreateContainerConfigError", f"unsupported fieldPath {path}")
    return str(value)


def environment(container: Manifest, pod: Manifest, image: Image, read) -> dict[str, str]:
    """`read(kind, name)` gives the decoded data of a ConfigMap or Secret, nil when there is none."""
    own: dict[str, str] = {}
    for entry in container.get("envFrom", []):
        kind, reference = ("configmaps", entry["configMapRef"]) if "configMapRef" in entry else ("secrets", entry["secretRef"])
        own.update({entry.get("prefix", "") + key: value.decode() for key, value in _data(read, kind, reference).items()})
    for entry in container.get("env", []):
        source = entry.get("valueFrom", {})
        if "fieldRef" in source:
            own[entry["name"]] = field(pod, source["fieldRef"]["fieldPath"])
        elif "configMapKeyRef" in source or "secretKeyRef" in source:
            kind = "configmaps" if "configMapKeyRef" in source else "secrets"
            reference = source.get("configMapKeyRef") or source["secretKeyRef"]
            data = _data(read, kind, reference)
            if reference["key"] not in data:
                if reference.get("optional"):
                    continue
                raise CannotStart("CreateContainerConfigError", f"couldn't find key {reference['key']} in {reference['name']}")
            own[entry["name"]] = data[reference["key"]].decode()
        elif source:
            raise CannotStart("CreateContainerConfigError", f"env {entry['name']}: {sorted(source)} is not emulated here")
        else:
            own[entry["name"]] = expanded(entry.get("value", ""), own)
    return {**image.environment, "HOSTNAME": pod["spec"].get("hostname") or pod["metadata"]["name"], **own}


def _data(read, kind: str, reference: Manifest) -> dict[str, bytes]:
    data = read(kind, reference["name"])
    if data is None and not reference.get("optional"):
        raise CannotStart("CreateContainerConfigError", f"{kind[:-1]} \"{reference['name']}\" not found")
    return data or {}


def capabilities(context: Manifest) -> list[str]:
    """The bounding set that a container's securityContext leaves."""
    def names(key: str) -> set[str]:
        return {name.removeprefix("CAP_") for name in context.get("capabilities", {}).get(key, [])}

    if context.get("privileged"):
        return list(CAPABILITIES)
    kept = set() if "ALL" in names("drop") else set(_DEFAULT_CAPABILITIES) - names("drop")
    kept |= set(CAPABILITIES) if "ALL" in names("add") else names("add")
    return sorted(kept)


def specification(container: Manifest, pod: Manifest, image: Image, *, folder: Path, network: Path, volumes: dict[str, Path],
                  files: dict[str, Path], read) -> Manifest:
    """What the sandbox is to make. `volumes` are the pod's, by name, as folders or files here; `files` go to fixed places."""
    context = {**{key: value for key, value in pod["spec"].get("securityContext", {}).items() if key.startswith("run")},
               **container.get("securityContext", {})}
    user = context.get("runAsUser", int(image.user.partition(":")[0] or 0) if image.user.partition(":")[0].isdigit() else 0)
    if context.get("runAsNonRoot") and user == 0:
        raise CannotStart("CreateContainerConfigError", "container has runAsNonRoot and image will run as root")
    variables = environment(container, pod, image, read)
    mounts = [{"source": str(source), "target": target, "readOnly": False} for target, source in files.items()]
    for one in container.get("volumeMounts", []):
        if one["name"] not in volumes:
            raise CannotStart("CreateContainerConfigError", f"volumeMounts names no volume of the pod: {one['name']}")
        source = volumes[one["name"]] / expanded(one.get("subPathExpr") or one.get("subPath") or "", variables)
        mounts.append({"source": str(source), "target": one["mountPath"], "readOnly": bool(one.get("readOnly"))})
    command = [expanded(word, variables) for word in container.get("command") or []]
    arguments = [expanded(word, variables) for word in container.get("args") or []]
    argv = (command or image.entrypoint) + (arguments or ([] if command else image.command))
    group = pod["spec"].get("securityContext", {}).get("fsGroup")
    return {
        "argv": argv, "env": variables, "workingDir": container.get("workingDir") or image.working_folder,
        "image": str(image.root), "root": str(folder / "root"), "pid": str(folder / "pid"), "network": str(network),
        "mounts": sorted(mounts, key=lambda one: one["target"].count("/")),
        "readOnlyRoot": bool(context.get("readOnlyRootFilesystem")), "privileged": bool(context.get("privileged")),
        "capabilities": capabilities(context), "noNewPrivileges": context.get("allowPrivilegeEscalation") is False,
        "uid": user, "gid": context.get("runAsGroup", 0), "groups": [group] if group is not None else [],
    }


class Process:
    """A container that was started. Its exit status, as Kubernetes counts: 128 and the signal's number for a killed one."""

    def __init__(self, specified: Manifest, folder: Path):
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.pid_file = Path(specified["pid"])
        self.pid_file.unlink(missing_ok=True)
        file = folder / "sandbox.json"
        file.touch(mode=0o600)
        file.write_text(json.dumps(specified))
        with open(folder / "log", "ab") as log:
            self.shim = subprocess.Popen([sys.executable, "-m", "cluster.sandbox", str(file)], stdin=subprocess.DEVNULL, stdout=log,
                                         stderr=log, start_new_session=True, cwd=paths.PACKAGE.parent)

    def exit_status(self) -> int | None:
        return self.shim.poll()

    def signal(self, number: int) -> None:
        """To the container's first process. Nothing where there is none any more."""
        while not self.pid_file.exists() and self.shim.poll() is None:
            time.sleep(0.01)
        try:
            os.kill(int(self.pid_file.read_text()), number)
        except (FileNotFoundError, ProcessLookupError):
            pass

    def terminate(self, grace: float) -> int:
        """SIGTERM, and SIGKILL when the container is still there after `grace` seconds."""
        self.signal(signal.SIGTERM)
        try:
            return self.shim.wait(grace)
        except subprocess.TimeoutExpired:
            self.signal(signal.SIGKILL)
            return self.shim.wait()

"""The container images: what is in them is all that the programs need, and the archives are what container engines read."""

from __future__ import annotations

import functools
import hashlib
import io
import json
import os
import subprocess
import tarfile
import tempfile
import unittest
from pathlib import Path

from lab import paths
from product.programs import programs

BUILD = paths.REPOSITORY / "deploy/image/build"


@functools.cache
def debian() -> list[str]:
    """As `make images` has it."""
    made = subprocess.run([paths.REPOSITORY / "deploy/image/debian"], check=True, stdout=subprocess.PIPE, text=True, timeout=300)
    return ["--root", made.stdout.strip()]


def build(output: Path) -> None:
    found = programs()
    subprocess.run(
        [BUILD, *debian(), "--binaries", found.folder, "--agent", found.agent_bundle.parent, "--tag", "test", "--output", output],
        check=True, capture_output=True, text=True, timeout=120)


class Archive:
    """An image read as an OCI layout, every digest and size checked on the way."""

    def __init__(self, file: Path) -> None:
        with tarfile.open(file) as tar:
            self.files = {member.name: tar.extractfile(member).read() for member in tar if member.isfile()}
        index = json.loads(self.files["index.json"])
        (self.descriptor,) = index["manifests"]
        self.manifest = json.loads(self.blob(self.descriptor))
        self.config = json.loads(self.blob(self.manifest["config"]))
        self.layers = [self.blob(layer) for layer in self.manifest["layers"]]

    def blob(self, descriptor: dict) -> bytes:
        content = self.files["blobs/" + descriptor["digest"].replace(":", "/")]
        assert hashlib.sha256(content).hexdigest() == descriptor["digest"].removeprefix("sha256:"), descriptor
        assert len(content) == descriptor["size"], descriptor
        return content

    def members(self) -> list[tarfile.TarInfo]:
        return [member for layer in self.layers for member in tarfile.open(fileobj=io.BytesIO(layer))]

    def unpack(self, root: Path) -> None:
        for layer in self.layers:
            subprocess.run(["tar", "--extract", "--same-owner", "--directory", root], input=layer, check=True, timeout=60)


class ImageTests(unittest.TestCase):
    @classmethod
    def setUpClass(cls) -> None:
        scratch = tempfile.TemporaryDirectory()
        cls.addClassCleanup(scratch.cleanup)
        cls.folder = Path(scratch.name)
        build(cls.folder / "images")
        cls.images = {name: Archive(cls.folder / f"images/{name}.tar") for name in ("uplink", "controller")}
        cls.roots = {name: cls.folder / name for name in cls.images}
        for name, root in cls.roots.items():
            root.mkdir()
            cls.images[name].unpack(root)

    def run_in(self, name: str, *arguments: str, program: str | None = None) -> subprocess.CompletedProcess[str]:
        """As the image's user, with nothing but the image's files and /proc in sight; Swift reads its arguments there."""
        config = self.images[name].config["config"]
        command = [program] if program else config["Entrypoint"]
        return subprocess.run(
            ["/usr/bin/unshare", "--fork", "--pid", f"--mount-proc={self.roots[name]}/proc",
             "/usr/sbin/chroot", f"--userspec={config['User']}", self.roots[name], *command, *arguments],
            capture_output=True, text=True, timeout=20, env={"PATH": "/nowhere"})

    def test_programs_start_with_nothing_else_there(self) -> None:
        uplink = self.run_in("uplink", "run", "--help")
        self.assertEqual(uplink.returncode, 0, uplink.stderr)
        self.assertIn("--wireguard-go", uplink.stdout)
        self.assertEqual(self.run_in("uplink", "--version", program="/usr/bin/wireguard-go").returncode, 0)
        controller = self.run_in("controller", "--help")
        self.assertEqual(controller.returncode, 0, controller.stderr)
        self.assertIn("USAGE: tidegate", controller.stdout)

    def test_what_they_look_for_is_there(self) -> None:
        # The controller's default --agent-dir, and what it trusts.
        agent = self.roots["controller"] / "opt/tidegate"
        self.assertEqual(sorted(os.listdir(agent)), ["edge-agent-x86_64.build", "edge-agent-x86_64.tar.gz", "edge-link-x86_64"])
        self.assertEqual((agent / "edge-agent-x86_64.tar.gz").read_bytes(), programs().agent_bundle.read_bytes())
        self.assertIn("BEGIN CERTIFICATE", (self.roots["controller"] / "etc/ssl/certs/ca-certificates.crt").read_text())
        # The mount points of the pod template.
        for path in ("etc/tidegate/config", "etc/tidegate/keys", "run/wireguard"):
            self.assertTrue((self.roots["uplink"] / path).is_dir(), path)
        self.assertEqual(os.readlink(self.roots["uplink"] / "var/run"), "/run")

    def test_the_controller_is_not_root(self) -> None:
        self.assertEqual(self.images["controller"].config["config"]["User"], "65532:65532")
        self.assertIn("tidegate:x:65532:65532:", (self.roots["controller"] / "etc/passwd").read_text())

    def test_nothing_in_them_helps_an_intruder(self) -> None:
        for name, image in self.images.items():
            programs_there = {member.name for member in image.members() if member.isfile() and member.name.startswith("usr/bin/")}
            self.assertEqual(programs_there, {"uplink": {"usr/bin/uplink", "usr/bin/wireguard-go"}, "controller": {"usr/bin/tidegate"}}[name])
            for member in image.members():
                self.assertEqual((member.uid, member.gid, member.mtime), (0, 0, 0), member.name)
                self.assertEqual(member.mode & 0o6000, 0, member.name)
                if member.name != "tmp" and not member.issym():
                    self.assertEqual(member.mode & 0o022, 0, f"{name}: {member.name} can be written by others")

    def test_scanners_find_the_packages_and_their_licences(self) -> None:
        for name, packages in (("uplink", {"libc6", "libmnl0", "libsodium23", "wireguard-go"}), ("controller", {"libc6", "libssl3t64", "libssh2-1t64", "ca-certificates"})):
            there = set(os.listdir(self.roots[name] / "var/lib/dpkg/status.d"))
            self.assertLessEqual(packages, there)
            for package in there:
                self.assertTrue((self.roots[name] / f"usr/share/doc/{package}/copyright").exists(), package)
            self.assertIn("ID=debian", (self.roots[name] / "etc/os-release").read_text())

    def test_archives_are_for_docker_too(self) -> None:
        for name, image in self.images.items():
            (docker,) = json.loads(image.files["manifest.json"])
            self.assertEqual(docker["RepoTags"], [f"ghcr.io/achetronic/tunnel/{name}:test"])
            self.assertEqual(json.loads(image.files[docker["Config"]]), image.config)
            digests = [f"sha256:{hashlib.sha256(image.files[layer]).hexdigest()}" for layer in docker["Layers"]]
            self.assertEqual(digests, image.config["rootfs"]["diff_ids"])
            self.assertEqual(image.descriptor["annotations"]["io.containerd.image.name"], docker["RepoTags"][0])

    def test_the_same_inputs_give_the_same_bytes(self) -> None:
        build(self.folder / "again")
        for name in self.images:
            self.assertEqual((self.folder / f"again/{name}.tar").read_bytes(), (self.folder / f"images/{name}.tar").read_bytes(), name)

    def test_what_is_missing_is_named(self) -> None:
        done = subprocess.run([BUILD, *debian(), "--binaries", self.folder / "images", "--output", self.folder / "none"], capture_output=True, text=True, timeout=20)
        self.assertEqual(done.returncode, 1)
        self.assertIn(f"image uplink: {self.folder}/images/uplink is missing: run `make build`", done.stderr)
        wrong = subprocess.run([BUILD, "proxy"], capture_output=True, text=True, timeout=20)
        self.assertEqual(wrong.returncode, 2)
        self.assertIn("no image proxy", wrong.stderr)


if __name__ == "__main__":
    unittest.main()
